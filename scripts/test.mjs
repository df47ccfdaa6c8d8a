// test.mjs: all tests: vitest, then the C++ tests of the engine. Last line: N passed, N failed, N skipped.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildFolder, buildNative } from './native.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

function runVitest(work, args) {
  const report = join(work, 'vitest.json')
  const { status } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  )
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 }
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(report, 'utf8'),
  )
  // A file that does not load fails without failing a test.
  const failed = numFailedTests || (status === 0 ? 0 : 1)
  return { passed: numPassedTests, failed, skipped: numPendingTests + numTodoTests }
}

/** The engine's own tests, without Node. They need GoogleTest, which a machine that only builds the addon does not have. */
export async function runNativeTests(work, options = {}) {
  const folder = buildFolder(options)
  if (!existsSync('/usr/include/gtest/gtest.h') && !process.env.GTEST_ROOT) {
    process.stderr.write(
      'C++ tests skipped: GoogleTest was not found (Debian: apt-get install libgtest-dev)\n',
    )
    return { passed: 0, failed: 0, skipped: 1 }
  }
  try {
    await buildNative(options, { target: 'sotto-native-tests' })
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
  const { makeTinyModel } = await import('./make-tiny-model.mjs')
  const model = makeTinyModel(join(work, 'tiny.gguf'))
  const experts = makeTinyModel(join(work, 'experts.gguf'), { shape: 'experts', type: 'Q8_0' })
  const { findModel } = await import('../dist/models/store.js')
  const real = await findModel('smollm2-135m-instruct')
  const report = join(work, 'gtest.json')
  const { status } = spawnSync(
    join(folder, 'bin', 'sotto-native-tests'),
    [`--gtest_output=json:${report}`, '--gtest_brief=1'],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        SOTTO_TEST_MODEL: model,
        SOTTO_TEST_EXPERTS_MODEL: experts,
        SOTTO_TEST_REAL_MODEL: real?.path,
      },
    },
  )
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 }
  const { tests, failures, disabled } = JSON.parse(readFileSync(report, 'utf8'))
  return {
    passed: tests - failures - disabled,
    failed: failures || (status === 0 ? 0 : 1),
    skipped: disabled,
  }
}

export async function test(args) {
  const work = mkdtempSync(join(tmpdir(), 'sotto-test-'))
  try {
    const results = [runVitest(work, args)]
    if (args.length === 0) results.push(await runNativeTests(work))
    const sum = (key) => results.reduce((total, result) => total + result[key], 0)
    console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`)
    return sum('failed') > 0 ? 1 : 0
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
