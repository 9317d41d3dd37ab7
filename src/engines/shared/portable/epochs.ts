/** Epochs of logs, where they are kept apart from the logs. */

/** Every log that was ever written may have begun in it; nobody stores it. */
export const FIRST_EPOCH = 1
