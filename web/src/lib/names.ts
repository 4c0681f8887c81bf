/** Runs of the same name, told apart. */
import type { RunRow } from "../core";

/** The end of a run's path where other runs have its name; empty where the name is enough, or there is no path. */
export function homeOf(run: string, all: readonly RunRow[]): string {
  const own = all.find((one) => one.id === run);
  if (!own || all.filter((one) => one.name === own.name).length < 2) return "";
  return own.folder.split(/[\\/]+/).filter(Boolean).slice(-2).join("/");
}
