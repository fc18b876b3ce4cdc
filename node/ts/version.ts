import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Name and version, as events and requests carry them. */
export const SDK = `evenhand-node/${JSON.parse(readFileSync(join(__dirname, '../package.json'), 'utf8')).version}`;
