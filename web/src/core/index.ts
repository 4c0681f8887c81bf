/** Everything that the screens may use. */
export * from "./types";
export { paths } from "./paths";
export { csvOf, save } from "./csv";
export { carriesData, EmbeddedSource, type Page } from "./embedded";
export { askOf, MessageSource, type Ask } from "./message";
export { HttpSource, SourceError, type Change, type Source } from "./source";
export { MOST_SELECTED, changed, decodeState, defaultState, encodeState, type Cursor, type ViewState } from "./state";
export { boxedBar, Store, type Bar } from "./store";
export { seeded, shuffled } from "./random";
export * from "./linear";
export { adjustedRand, kmeans, viewAri, type Grouping } from "./clusters";
export * from "./camera";
export { Cloud, type Digest } from "./cloud";
export { MOST_MOVING, type CloudView, type Frame, type Rgb, type RowLooks, type Trail } from "./scene";
export { FrameCache, neighbors } from "./frames";
export { makeAxis, nearestIndex, numberText, roundTicks, timeText, type Axis, type Tick, type Times } from "./axis";
export { baseOf, composition, distances, movedMost, movesOf, nearestRows, spells, spread, standIn, trailsOf, type Part, type Spell } from "./rows";
