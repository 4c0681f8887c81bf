/** Everything that the screens may use. */
export * from "./types";
export { paths } from "./paths";
export { EmbeddedSource, HttpSource, SourceError, type Change, type Page, type Source } from "./source";
export { MOST_SELECTED, decodeState, defaultState, encodeState, type Cursor, type ViewState } from "./state";
export { Store, type Bar } from "./store";
export { seeded, shuffled } from "./random";
export * from "./linear";
export { adjustedRand, kmeans, viewAri, type Grouping } from "./clusters";
