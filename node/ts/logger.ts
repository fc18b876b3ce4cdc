/** What goes with a message. */
export interface LogFields {
  /** The stable name of what happened (docs/contract/session.md, "Diagnostics"). */
  readonly code: string;
  /** How often it happened in a row. */
  readonly times?: number;
  readonly error?: unknown;
}

/** Where a client tells what happens to it. Loggers of the `console` kind fit; for pino, swap the arguments. */
export interface Logger {
  info(message: string, fields: LogFields): void;
  warn(message: string, fields: LogFields): void;
  error(message: string, fields: LogFields): void;
}

/** Warnings and errors on the console. */
export const consoleLogger: Logger = {
  info() {},
  warn: (message, { code }) => console.warn(`evenhand: ${message} (${code})`),
  error: (message, { code }) => console.error(`evenhand: ${message} (${code})`),
};

/** A logger that never throws: a broken one must not stop a client. */
export function guarded(logger: Logger): Logger {
  const safely = (tell: () => void): void => {
    try {
      tell();
    } catch {
      // There is nobody left to tell.
    }
  };
  return {
    info: (message, fields) => safely(() => logger.info(message, fields)),
    warn: (message, fields) => safely(() => logger.warn(message, fields)),
    error: (message, fields) => safely(() => logger.error(message, fields)),
  };
}
