/** The time axis: where a step lies, and which step lies at a place. */
import { scaleLinear, scaleSymlog } from "d3-scale";
import type { RunFile, ViewState } from "../core";

export type Axis = {
  x(step: number): number;
  /** The recorded step nearest to a place. */
  at(x: number): number;
  ticks: { x: number; text: string }[];
};

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export function timeAxis(run: RunFile, kind: ViewState["axis"], left: number, right: number): Axis {
  const values = (kind === "tokens" ? run.tokens : kind === "seconds" ? run.seconds : null) ?? run.steps;
  const known = run.steps.map((step, i) => values[i] ?? step);
  const first = known[0] ?? 0;
  const last = known.at(-1) ?? 1;
  const domain = [first, last === first ? first + 1 : last];
  const scale =
    kind === "log"
      ? scaleSymlog().constant(1).domain(domain).range([left, right])
      : scaleLinear().domain(domain).range([left, right]);
  const places = known.map((value) => scale(value));
  const x = (step: number): number => {
    const after = run.steps.findIndex((one) => one >= step);
    if (after < 0) return right;
    if (after === 0 || run.steps[after] === step) return places[after]!;
    const from = run.steps[after - 1]!;
    const part = (step - from) / (run.steps[after]! - from);
    return places[after - 1]! + part * (places[after]! - places[after - 1]!);
  };
  const at = (place: number): number => {
    let best = 0;
    places.forEach((one, i) => {
      if (Math.abs(one - place) < Math.abs(places[best]! - place)) best = i;
    });
    return run.steps[best] ?? 0;
  };
  return { x, at, ticks: ticks(kind, scale, domain[1]!) };
}

function ticks(kind: ViewState["axis"], scale: { (value: number): number; ticks(n?: number): number[] }, last: number) {
  const wanted = kind === "log" ? powers(last) : scale.ticks(6);
  return wanted.map((value) => ({ x: scale(value), text: compact.format(value) }));
}

function powers(last: number): number[] {
  const found = [0];
  for (let one = 1; one <= last; one *= 10) {
    found.push(one);
    if (3 * one <= last && last < 3000) found.push(3 * one);
  }
  return found;
}
