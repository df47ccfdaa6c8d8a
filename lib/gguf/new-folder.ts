// new-folder.ts: files that another program writes, in a folder beside where they belong; they get their names when all of them are whole.

import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { onDisk, syncFolderOf } from './new-file.js'

export class NewFolder {
  /** Where to write. */
  readonly path: string
  readonly #target: string

  private constructor(target: string) {
    this.#target = target
    this.path = `${target}.${randomUUID().slice(0, 8)}.partial`
  }

  /** `target`: a file, beside which it all ends. */
  static async create(target: string): Promise<NewFolder> {
    const folder = new NewFolder(target)
    await onDisk(() => mkdir(dirname(target), { recursive: true }))
    await onDisk(() => mkdir(folder.path))
    return folder
  }

  /** Full names of what was written, but for names that `leave` says are not meant to last. */
  async files(leave: (name: string) => boolean = () => false): Promise<string[]> {
    const names = await onDisk(() => readdir(this.path))
    return names
      .filter((name) => !leave(name))
      .sort()
      .map((name) => join(this.path, name))
  }

  /** Moves files to where they belong, over what is there, the last one last, and removes itself. Returns their names. */
  async giveNames(files: string[]): Promise<string[]> {
    for (const file of files) {
      const handle = await onDisk(() => open(file, 'r+'))
      await onDisk(() => handle.sync()).finally(() => handle.close())
    }
    const paths = files.map((file) => join(dirname(this.#target), basename(file)))
    let named = 0
    try {
      for (const file of files) {
        await onDisk(() => rename(file, paths[named]!))
        named++
      }
    } catch (error) {
      for (const path of paths.slice(0, named)) await rm(path, { force: true }).catch(() => {})
      throw error
    }
    await syncFolderOf(this.#target)
    await this.discard()
    return paths
  }

  async discard(): Promise<void> {
    await rm(this.path, { recursive: true, force: true }).catch(() => {})
  }
}
