/**
 * The data that the server sends and a report embeds. One place, so that a
 * change of the contract is a change of one file. A missing number is null:
 * NaN is not JSON.
 */

/** A number, or null where nothing was measured. */
export type Maybe = number | null;

/** One line of the table of runs. */
export interface RunRow {
  id: string;
  name: string;
  folder: string;
  status: string;
  stale: boolean;
  /** Last recorded step. */
  step: number;
  /** How many steps are recorded. */
  steps: number;
  headline: string | null;
  clusters: "clusters" | "none" | "undecided" | null;
  used: "used" | "not used" | "undecided" | "not tested" | null;
  /** What was found at each place; null where nothing was measured. */
  places: { clusters: string | null; verdict: string | null }[] | null;
  accuracy: Maybe;
  spark: Maybe[];
  /** Unix seconds. */
  updated: number;
  fault: string | null;
}

/** What a report of limited size does not carry, or not all of. */
export interface LeftOut {
  what: string;
  kept?: number;
  of?: number;
}

/** `runs.json`. */
export interface Runs {
  runs: RunRow[];
  /** Only in a report. */
  left_out?: LeftOut[];
}

/** One measured series: a value for every stream at every step. */
export interface Series {
  metric: string;
  label: string;
  position: string;
  view: string;
  half: string;
  /** Whether smaller is better: then chance reaches down, not up. */
  lower: boolean;
  streams: string[];
  steps: number[];
  /** Indexed [step][stream]. */
  value: Maybe[][];
  low: Maybe[][] | null;
  high: Maybe[][] | null;
  n0: Maybe[][] | null;
  n1: Maybe[][] | null;
  n2: Maybe[][] | null;
}

/** Accuracy of one split over the steps. */
export interface Accuracy {
  split: string;
  steps: number[];
  value: Maybe[];
  low: Maybe[] | null;
  high: Maybe[] | null;
  chance: Maybe | Maybe[];
  loss: Maybe[] | null;
  n: Maybe | Maybe[];
  /** Distinct instruction strings. */
  strings: Maybe | Maybe[];
}

/** When a curve begins to rise, with its interval in steps. */
export interface Onset {
  curve: "ari" | "accuracy";
  position: string | null;
  stream: string | null;
  split: string | null;
  step: Maybe;
  low: Maybe;
  high: Maybe;
  /** Share of the resampled curves in which a rise was found. */
  found: Maybe;
  first_step: Maybe;
  words: string;
}

/** What was found at one place, the clusters and whether they are used. */
export interface Place {
  stream: string;
  position: string;
  view: string;
  ari: Maybe;
  ari_low: Maybe;
  ari_high: Maybe;
  n0: Maybe;
  n1: Maybe;
  n2: Maybe;
  clusters: string | null;
  use: string | null;
  verdict: string | null;
  accuracy: Maybe;
  shift: Maybe;
  shift_low: Maybe;
  shift_high: Maybe;
  chance: Maybe;
  random_direction: Maybe;
  wrong_task: Maybe;
  mean_shift: Maybe;
  shuffled: Maybe;
  other_input: Maybe;
  patch: Maybe;
  patch_low: Maybe;
  patch_high: Maybe;
  erase: Maybe;
  erase_low: Maybe;
  erase_high: Maybe;
  random_erase: Maybe;
  displaced: Maybe;
}

/** The effect of one edit at one place. */
export interface Edit {
  stream: string;
  position: string;
  edit: string;
  rows: Maybe;
  accuracy: Maybe;
  accuracy_low: Maybe;
  accuracy_high: Maybe;
  redirected: Maybe;
  redirected_low: Maybe;
  redirected_high: Maybe;
}

/** A row of a table whose columns the run decides. */
export type Row = Record<string, string | number | boolean | null>;

type Verdict = "clusters" | "none" | "undecided";
/** When a curve begins to rise, as the summary has it. */
export type When = { step: Maybe; low: Maybe; high: Maybe; found: number; first_step: number };
type Nulls = { n0: Maybe; n1: Maybe; n2: Maybe };

/** What edits do at a place, beside their controls. */
export type Effects = {
  erase: number; erase_low: Maybe; erase_high: Maybe; random_erase: number; displaced: Maybe; use: string;
  shift?: Maybe; shift_low?: Maybe; shift_high?: Maybe; chance?: Maybe; controls?: Record<string, Maybe>;
};

/** What a run says in numbers: the findings are put in words from it. */
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

/** `run/<id>/view.json`: everything about a run that is small. */
export interface RunFile {
  schema: number;
  name: string;
  status: string;
  /** Journal lines read. */
  lines: number;
  summary: Summary | null;
  headline: string;
  kind: string;
  keys: Record<string, string>;
  steps: number[];
  tokens: Maybe[] | null;
  /** Wall time since the first step, in seconds. */
  seconds: Maybe[] | null;
  streams: string[];
  positions: string[];
  position_names: Record<string, string>;
  labels: Record<string, string[]>;
  color: string;
  series: Series[];
  accuracy: Accuracy[];
  loss: { steps: number[]; value: Maybe[] } | null;
  onsets: Onset[];
  places: Place[];
  edits: Edit[];
  doses: Row[];
  redirections: Row[];
  notes: string[];
  /** What a watch over the training said; files of earlier versions do not have it. */
  alarms?: Alarm[];
  config: Record<string, unknown>;
  provenance: Record<string, unknown>;
  /** How the first tasks are announced: a few instruction strings of each. */
  wordings: Record<string, string[]>;
  tables: string[];
  /** Axes in which a place can be shown; files of earlier versions do not say. */
  bases?: string[];
}

/** One alarm of a watch over the training; docs/alarms.md says what each number is. */
export interface Alarm {
  alarm: string;
  rule: string | null;
  statistic: string | null;
  step: number;
  place: string | null;
  tasks: string[];
  now: Maybe;
  before: Maybe;
  value: Maybe;
  threshold: Maybe;
  /** In how many of the healthy runs it was as bad. */
  seen: Maybe;
  healthy: Maybe;
  rate: Maybe;
  /** When the same rule alarmed on loss and accuracy alone; null: not so far. */
  loss_alarm: Maybe;
}

/** `run/<id>/rows.json`: what every row is. */
export interface Rows {
  n: number;
  labels: Record<string, { values: string[]; codes: number[] }>;
  instruction: (string | null)[] | null;
  input: (string | null)[] | null;
  target: (string | null)[] | null;
  split: (string | null)[] | null;
  sequence: string[];
  null_task: number[];
}

/** `run/<id>/answers/<step>.json`. */
export interface Answers {
  correct: (1 | 0 | null)[];
  predicted: (string | null)[];
  nll: Maybe[];
}

/** One checkpoint of a cloud: how its whole numbers become coordinates. */
export interface FrameFacts {
  step: number;
  /** A coordinate is its whole number times this. */
  unit: number;
  /** Root mean square distance from the mean; the coordinates are divided by it already. */
  radius: number;
  ari_k: Maybe;
  ari_full: Maybe;
  /** The highest null of `ari_full`, of the same rows. */
  null_ari_full: Maybe;
  between_k: Maybe;
  between_full: Maybe;
  variance_k: Maybe;
  /** As `ari_k`, for tasks that were permuted. */
  null_ari_k: Maybe;
}

/** `run/<id>/cloud/<stream>/<position>/<basis>.json`. */
export interface CloudFacts {
  /** Coordinates a row. */
  k: number;
  /** How many of them are not zeros that only fill up. */
  axes?: number;
  basis: string;
  basis_step: number | null;
  /** How the basis was made, in words. */
  method: string;
  /** Rows shown, of `total`. */
  rows: number;
  total: number;
  conditioned: boolean;
  frames: FrameFacts[];
  /** How the frame without the task is read; null where there is none. */
  erased: { unit: number; radius: number } | null;
  /** Row numbers of the rows shown. */
  index: number[];
}

/** `run/<id>/tables/<name>.json`. */
export interface Table {
  columns: string[];
  rows: (string | number | boolean | null)[][];
}
