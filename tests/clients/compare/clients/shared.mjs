// What the Node clients share: how results are shown, and what all clients ask for.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

export const TABLES = ['every_type', 'many', 'nation', 'orders', 'region', 'totals'];

// Runs until somebody stops it.
export const ENDLESS =
  'SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11';

export function plain(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Date) return `Date(${value.toISOString()})`;
  if (Buffer.isBuffer(value)) return `Buffer(${value.toString('hex')})`;
  if (Array.isArray(value)) return `[${Array.from(value).map(plain).join(', ')}]`;
  if (typeof value === 'object') return `{${Object.keys(value).map((key) => `${key}: ${plain(value[key])}`).join(', ')}}`;
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : JSON.stringify(value);
}

// One line of the output: what is shown, a tab, and how the client shows it.
export function say(key, value) {
  console.log(`${key}\t${plain(value)}`);
}

// The lines of `values` or `errors`: name and SQL.
export function lines(name) {
  const text = readFileSync(`${process.env.LIMNOS_CLIENTS_HERE}/${name}.tsv`, 'utf8');
  return text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => [line.slice(0, line.indexOf('\t')), line.slice(line.indexOf('\t') + 1)]);
}

// Stands for many rows.
export function digest(rows) {
  const seen = createHash('sha256');
  for (const row of rows) seen.update(plain(row));
  return [rows.length, seen.digest('hex').slice(0, 16)];
}
