import type { Server } from "node:http";

export interface ServeOptions {
  /** 0 for any that is free. */
  readonly port?: number;
  /** Whether the headers are sent that threads need. */
  readonly isIsolated?: boolean;
}

export function serve(folders: Readonly<Record<string, string>>, options?: ServeOptions): Promise<Server>;
