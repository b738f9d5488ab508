/** Why a file is not shown. */
export type FailureKind =
  | "not-tmix"
  | "truncated"
  | "corrupted"
  | "unsupported"
  | "desynchronized"
  | "model"
  | "too-large"
  | "unreachable";

/** What is refused, in one line that says what must hold, what was found and what to do. */
export class TmixError extends Error {
  override readonly name = "TmixError";

  constructor(
    readonly kind: FailureKind,
    message: string,
  ) {
    super(message);
  }
}

/** The file holds what no encoder writes. */
export function corrupted(message: string): TmixError {
  return new TmixError("corrupted", `${message}: the file is damaged, fetch it again`);
}

/** The file asks for what this reader does not know. */
export function unsupported(message: string): TmixError {
  return new TmixError("unsupported", `${message}: a newer decoder may know it`);
}
