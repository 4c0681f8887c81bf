/** The paths of the contract, built in one place so that no id escapes its part. */

const part = (text: string | number): string => {
  // As Python's quote() writes it: a report's parts are found by their written path.
  const safe = encodeURIComponent(String(text)).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  // A part of dots alone would climb out of the folder once a browser has resolved it.
  return /^\.+$/.test(safe) ? safe.replaceAll(".", "%2E") : safe;
};

/** Paths below the root of a source; every id is percent-encoded. */
export const paths = {
  runs: (): string => "runs.json",
  view: (run: string): string => `run/${part(run)}/view.json`,
  rows: (run: string): string => `run/${part(run)}/rows.json`,
  answers: (run: string, step: number): string => `run/${part(run)}/answers/${part(step)}.json`,
  cloud: (run: string, stream: string, position: string, basis: string): string =>
    `run/${part(run)}/cloud/${part(stream)}/${part(position)}/${part(basis)}.json`,
  frame: (run: string, stream: string, position: string, basis: string, step: number | "erased"): string =>
    `run/${part(run)}/frames/${part(stream)}/${part(position)}/${part(basis)}/${part(step)}.i16`,
  table: (run: string, name: string): string => `run/${part(run)}/tables/${part(name)}.json`,
};
