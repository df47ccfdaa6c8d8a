// flags.ts: numbers of ggml.h that its operations take as such.

/** `mode` of the rope operations. */
export const RopeType = { normal: 0, neox: 2, mrope: 8, vision: 24, imrope: 40 } as const

/** `mode` of {@link Context.interpolate}: one of the first three, and flags beside it (`|`). */
export const ScaleFlag = {
  nearest: 0,
  bilinear: 1,
  bicubic: 2,
  alignCorners: 1 << 8,
  antialias: 1 << 9,
} as const
