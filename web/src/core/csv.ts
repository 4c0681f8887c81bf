/** Tables as files. */
import type { Table } from "./types";

/** A table as CSV, with the numbers as the table has them; a missing value is an empty cell. */
export function csvOf(table: Table): string {
  const lines = [table.columns, ...table.rows].map((row) => row.map(cell).join(","));
  return `${lines.join("\n")}\n`;
}

function cell(value: string | number | boolean | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Hands a file to the browser to be saved. */
export function save(name: string, data: BlobPart, type: string): void {
  const address = URL.createObjectURL(new Blob([data], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // not at once: the browser reads it after the click has been handled
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
