// quantisation-types.ts: the kinds of file that upstream's quantiser makes, by the names that people know them by.

/** llama_ftype of each. The last letter of K-quants is how much of the model gets more bits: S little, M some, L most. */
const fileTypes = {
  F32: 0,
  F16: 1,
  BF16: 32,
  Q8_0: 7,
  Q6_K: 18,
  Q5_K_M: 17,
  Q5_K_S: 16,
  Q5_1: 9,
  Q5_0: 8,
  Q4_K_M: 15,
  Q4_K_S: 14,
  Q4_1: 3,
  Q4_0: 2,
  IQ4_NL: 25,
  IQ4_XS: 30,
  MXFP4_MOE: 38,
  Q3_K_L: 13,
  Q3_K_M: 12,
  Q3_K_S: 11,
  IQ3_M: 27,
  IQ3_S: 26,
  IQ3_XS: 22,
  IQ3_XXS: 23,
  Q2_K: 10,
  Q2_K_S: 21,
  Q2_0: 41,
  IQ2_M: 29,
  IQ2_S: 28,
  IQ2_XS: 20,
  IQ2_XXS: 19,
  TQ2_0: 37,
  TQ1_0: 36,
  IQ1_M: 31,
  IQ1_S: 24,
  Q1_0: 40,
} as const

/** A kind of file that `quantizeModel` makes, from the most bits a weight to the fewest. */
export type QuantizationType = keyof typeof fileTypes

/** Numbers of the kinds of file, as `general.file_type` has them. */
export const quantizationTypes: ReadonlyMap<QuantizationType, number> = new Map(
  Object.entries(fileTypes) as [QuantizationType, number][],
)

/** Other spellings that people use. */
const aliases: Record<string, QuantizationType> = {
  Q3_K: 'Q3_K_M',
  Q4_K: 'Q4_K_M',
  Q5_K: 'Q5_K_M',
}

/** @internal The kind of file of a name in any case; undefined: there is none. */
export function quantizationTypeOf(name: string): QuantizationType | undefined {
  const upper = name.toUpperCase()
  if (Object.hasOwn(fileTypes, upper)) return upper as QuantizationType
  return Object.hasOwn(aliases, upper) ? aliases[upper] : undefined
}
