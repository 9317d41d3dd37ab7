/** What `sluice doctor` asks of the engine. */
export { examine } from '../engines/embedded/disk/folder.ts'
