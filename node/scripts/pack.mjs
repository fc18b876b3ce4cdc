// Packs dist/ into packed/: the package `evenhand`, and one package for each platform with its binary, which npm picks by
// `os`, `cpu` and `libc`. What is staged here is what would be published.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PLATFORMS = { 'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] } };
const MAX_BYTES = 2_000_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const packed = join(root, 'packed');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const workspace = /\[workspace\.package\]\s+version = "([^"]+)"/.exec(readFileSync(join(root, '../Cargo.toml'), 'utf8'))?.[1];
if (manifest.version !== workspace)
  throw new Error(`node/package.json has version ${manifest.version}, Cargo.toml ${workspace}: make them equal`);

rmSync(packed, { recursive: true, force: true });
const write = (folder, content) => writeFileSync(join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
const { name, version, license, repository, engines } = manifest;

for (const [platform, conditions] of Object.entries(PLATFORMS)) {
  const folder = join(packed, `stage/${platform}`);
  const binary = `evenhand.${platform}.node`;
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, 'dist/native', binary), join(folder, binary));
  writeFileSync(
    join(folder, 'README.md'),
    `The binary of the package \`${name}\` for ${platform}. Install \`${name}\`, which brings it along.\n`,
  );
  write(folder, {
    name: `${name}-${platform}`,
    version,
    description: `evenhand for ${platform}`,
    license,
    repository,
    engines,
    main: binary,
    files: [binary],
    ...conditions,
  });
}

const folder = join(packed, 'stage/evenhand');
mkdirSync(folder, { recursive: true });
cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.node') });
cpSync(join(root, 'README.md'), join(folder, 'README.md'));
const { devDependencies: _, scripts: __, napi: ___, ...published } = manifest;
write(folder, {
  ...published,
  optionalDependencies: Object.fromEntries(Object.keys(PLATFORMS).map((platform) => [`${name}-${platform}`, version])),
});

for (const stage of readdirSync(join(packed, 'stage'))) {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', packed], {
    cwd: join(packed, 'stage', stage),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
for (const file of readdirSync(packed).filter((file) => file.endsWith('.tgz'))) {
  const { size } = statSync(join(packed, file));
  console.log(`${file}: ${size} bytes`);
  if (size > MAX_BYTES) throw new Error(`${file} is larger than ${MAX_BYTES} bytes`);
}
