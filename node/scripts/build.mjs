// Builds the package into dist/: the native half by cargo, TypeScript by tsc, and an ES module that hands on the one
// CommonJS instance (two instances would have two of every class). So have the providers for OpenFeature, each an entry of its own.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = (program, ...args) => execFileSync(join(root, 'node_modules/.bin', program), args, { cwd: root, stdio: 'inherit' });

rmSync(join(root, 'dist'), { recursive: true, force: true });
mkdirSync(join(root, 'dist/native'), { recursive: true });
run(
  'napi',
  'build',
  '--platform',
  // What is shipped is what is measured and tested.
  '--profile',
  'dist',
  '--no-dts-cache',
  '--output-dir',
  'dist/native',
  '--js',
  'binding.js',
  '--dts',
  'binding.d.ts',
  '--',
  '--locked',
);
// Not by cargo: its own setting would compile every crate a second time.
execFileSync('strip', ['--strip-all', join(root, 'dist/native/evenhand.linux-x64-gnu.node')]);
// The types of the native half are kept beside the sources: they are compiled against, and a change of them is seen.
renameSync(join(root, 'dist/native/binding.d.ts'), join(root, 'ts/native/binding.d.ts'));
run('tsc');
cpSync(join(root, 'ts/native/binding.d.ts'), join(root, 'dist/native/binding.d.ts'));
cpSync(join(root, 'ts/native/load.cjs'), join(root, 'dist/native/binding.js'));

const require = (await import('node:module')).createRequire(import.meta.url);
function asModule(name) {
  const exported = Object.keys(require(`../dist/${name}.js`));
  const [file] = name.split('/').slice(-1);
  writeFileSync(
    join(root, `dist/${name}.mjs`),
    `import evenhand from './${file}.js';\nexport const { ${exported.join(', ')} } = evenhand;\n`,
  );
  const types = readFileSync(join(root, `dist/${name}.d.ts`), 'utf8');
  writeFileSync(join(root, `dist/${name}.d.mts`), types.replaceAll(/'(\.{1,2}\/[^']+)'/g, "'$1.js'"));
}
asModule('index');
asModule('openfeature/server');
asModule('openfeature/web');
