// Finds the binary: beside this file in a built tree, else in the package that npm installed for this platform. Ours, since
// the loader that napi writes makes a report of the whole process to tell musl from glibc: 7 ms of an import.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const { platform, arch } = process;
const endings = { linux: ['-gnu', '-musl'], win32: ['-msvc'] }[platform] ?? [''];
const errors = [];

function load() {
  for (const ending of endings) {
    const name = `${platform}-${arch}${ending}`;
    const beside = join(__dirname, `evenhand.${name}.node`);
    try {
      return require(existsSync(beside) ? beside : `evenhand-${name}`);
    } catch (error) {
      errors.push(error);
    }
  }
  throw new Error(
    `evenhand has no binary for ${platform}-${arch} here. Install again without --omit=optional and on the platform it is to run on.`,
    { cause: errors },
  );
}

module.exports = load();
