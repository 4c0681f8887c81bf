/** How far a scale goes. */

/** A share or an ARI may dip below 0 by chance: so far it is still a number from 0 to 1. */
const DIP = -0.2;
const ABOVE = 1.001;

/** From 0 to 1 where that is the range of the numbers; else as far as they go, 0 included. */
export function rangeOf(values: readonly number[]): [number, number] {
  const [low, high] = wide(values);
  return low >= DIP && high <= ABOVE ? [0, 1] : [low, high];
}

/** From the least to the greatest number, 0 included; never empty. */
export function wide(values: readonly number[]): [number, number] {
  const [low, high] = values.reduce<[number, number]>(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [0, 0]);
  return [low, high > low ? high : low + 1];
}
