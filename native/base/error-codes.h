// error-codes.h: the codes C++ throws, one line each; lib/errors.ts documents them and scripts/check-native.mjs
// compares.
#pragma once

#define SOTTO_ERROR_CODES(X)                            \
  X(kAborted, "ERR_ABORTED")                            \
  X(kAdapterInvalid, "ERR_ADAPTER_INVALID")             \
  X(kContextFull, "ERR_CONTEXT_FULL")                   \
  X(kDecodeFailed, "ERR_DECODE_FAILED")                 \
  X(kDisk, "ERR_DISK")                                  \
  X(kDraftInvalid, "ERR_DRAFT_INVALID")                 \
  X(kEmbeddingUnsupported, "ERR_EMBEDDING_UNSUPPORTED") \
  X(kGrammarInvalid, "ERR_GRAMMAR_INVALID")             \
  X(kGraphFailed, "ERR_GRAPH_FAILED")                   \
  X(kGraphFull, "ERR_GRAPH_FULL")                       \
  X(kGraphGradient, "ERR_GRAPH_GRADIENT")               \
  X(kImatrixInvalid, "ERR_IMATRIX_INVALID")             \
  X(kInternal, "ERR_INTERNAL")                          \
  X(kModelChanged, "ERR_MODEL_CHANGED")                 \
  X(kModelClosed, "ERR_MODEL_CLOSED")                   \
  X(kModelLoad, "ERR_MODEL_LOAD")                       \
  X(kModelMemory, "ERR_MODEL_MEMORY")                   \
  X(kModelUnreadable, "ERR_MODEL_UNREADABLE")           \
  X(kModelUnsupported, "ERR_MODEL_UNSUPPORTED")         \
  X(kOptionInvalid, "ERR_OPTION_INVALID")               \
  X(kPromptInvalid, "ERR_PROMPT_INVALID")               \
  X(kPromptTooLong, "ERR_PROMPT_TOO_LONG")              \
  X(kQuantizeFailed, "ERR_QUANTIZE_FAILED")             \
  X(kQueueFull, "ERR_QUEUE_FULL")                       \
  X(kRerankUnsupported, "ERR_RERANK_UNSUPPORTED")       \
  X(kSchemaInvalid, "ERR_SCHEMA_INVALID")               \
  X(kTemplateInvalid, "ERR_TEMPLATE_INVALID")           \
  X(kTemplateMissing, "ERR_TEMPLATE_MISSING")           \
  X(kTensorBusy, "ERR_TENSOR_BUSY")                     \
  X(kTensorClosed, "ERR_TENSOR_CLOSED")                 \
  X(kTensorForeign, "ERR_TENSOR_FOREIGN")               \
  X(kTensorMemory, "ERR_TENSOR_MEMORY")                 \
  X(kTensorShape, "ERR_TENSOR_SHAPE")                   \
  X(kTensorType, "ERR_TENSOR_TYPE")                     \
  X(kTensorValue, "ERR_TENSOR_VALUE")                   \
  X(kTextTooShort, "ERR_TEXT_TOO_SHORT")                \
  X(kVocabularyMismatch, "ERR_VOCABULARY_MISMATCH")

namespace sotto {

enum class ErrorCode {
#define X(name, text) name,
  SOTTO_ERROR_CODES(X)
#undef X
};

constexpr const char* ErrorCodeText(ErrorCode code) {
  switch (code) {
#define X(name, text) \
  case ErrorCode::name: return text;
    SOTTO_ERROR_CODES(X)
#undef X
  }
  return "ERR_INTERNAL";
}

}  // namespace sotto
