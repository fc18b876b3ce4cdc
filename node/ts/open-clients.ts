// Clients that are open when the process (or worker thread) ends.

interface Open {
  close(timeoutMs: number): Promise<void>;
  writeSpoolNow(): void;
}

/** What the end of a process may be held up for. */
const PATIENCE_MS = 2_000;

const open = new Set<Open>();
let listening = false;

/** When the process ends by itself, the client sends what is queued first; when it is ended, its spool is written. */
export function closeAtExit(client: Open): void {
  open.add(client);
  if (listening) return;
  listening = true;
  process.on('beforeExit', () => {
    for (const client of open) void client.close(PATIENCE_MS);
  });
  process.on('exit', () => {
    for (const client of open) client.writeSpoolNow();
  });
}

/** The client was closed. */
export function forget(client: Open): void {
  open.delete(client);
}
