// A TUF client by other people: refresh from a trusted root, then download the targets named.
// walk.cjs HOME METADATA_URL TARGETS_URL [PATH...]; HOME/metadata/root.json is the root to trust. One line of JSON out.
const path = require("path");
const { Updater } = require("tuf-js");

const [home, metadata, targets, ...paths] = process.argv.slice(2);

async function walk() {
  const updater = new Updater({
    metadataDir: path.join(home, "metadata"),
    metadataBaseUrl: metadata,
    targetDir: path.join(home, "targets"),
    targetBaseUrl: targets,
    config: { fetchRetry: 0 },
  });
  await updater.refresh();
  const files = [];
  for (const wanted of paths) {
    const info = await updater.getTargetInfo(wanted);
    if (!info) throw new Error(`nobody lists ${wanted}`);
    files.push(await updater.downloadTarget(info));
  }
  return { ok: true, files };
}

walk()
  .catch((error) => ({ ok: false, why: `${error.name}: ${error.message}` }))
  .then((found) => process.stdout.write(JSON.stringify(found) + "\n"));
