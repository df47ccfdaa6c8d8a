// sha256sum.mjs: coreutils.

import { statSync } from 'node:fs'
import { must } from '../prepare.mjs'

async function digest({ model }) {
  must('sha256sum', [model]) // now it is in the page cache
  const begin = performance.now()
  must('sha256sum', [model])
  return { bytesPerSecond: (statSync(model).size / (performance.now() - begin)) * 1000 }
}

export const tasks = { digest }
