/** The summary of a run as `view.json` holds it. */
import type { Maybe, RunFile } from "../core";

type Verdict = "clusters" | "none" | "undecided";
export type When = { step: Maybe; low: Maybe; high: Maybe; found: number; first_step: number };
type Nulls = { n0: Maybe; n1: Maybe; n2: Maybe };

export type Effects = {
  erase: number; erase_low: Maybe; erase_high: Maybe; random_erase: number; displaced: Maybe; use: string;
  shift?: Maybe; shift_low?: Maybe; shift_high?: Maybe; chance?: Maybe; controls?: Record<string, Maybe>;
};

export type Summary = {
  model: string;
  tasks: string;
  outputs: "shared" | "own" | "natural" | null;
  null: string | null;
  steps: number;
  recorded: number;
  unmeasured: string;
  accuracy: Record<string, { value: number; low: Maybe; high: Maybe; chance: Maybe }>;
  accuracy_onset: When | null;
  clusters: Record<string, {
    stream: string; first: Maybe; last: Maybe; low: Maybe; high: Maybe; null: Nulls; verdict: Verdict; onset: When;
  }>;
  places: {
    stream: string; position: string; ari: Maybe; clusters: Verdict | null; effects: Effects | null; verdict: string | null;
  }[];
};

export type View = Omit<RunFile, "summary"> & { summary: Summary | null };
