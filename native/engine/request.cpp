#include "engine/request.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>

#include "base/error.h"
#include "engine/model.h"
#include "engine/prefix-cache.h"
#include "engine/tokenizer.h"

namespace sotto {
namespace {

constexpr size_t kMostInputs = 65536;

void CheckTokens(const Model& model, const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < model.info().vocabulary) continue;
    throw Error(ErrorCode::kPromptInvalid, "Expected prompt tokens from 0 to " +
                                               std::to_string(model.info().vocabulary - 1) + ", received " +
                                               std::to_string(token));
  }
}

// Templates write the beginning-of-sequence token themselves or leave it to the tokenizer: never both.
std::vector<int32_t> TokenizeChat(const llama_vocab* vocab, const std::string& text) {
  std::vector<int32_t> tokens = Tokenize(vocab, text, true, true);
  const llama_token bos = llama_vocab_bos(vocab);
  if (bos != LLAMA_TOKEN_NULL && tokens.size() > 1 && tokens[0] == bos && tokens[1] == bos)
    tokens.erase(tokens.begin());
  return tokens;
}

std::vector<int32_t> TokenizePrefill(const llama_vocab* vocab, const std::string& text) {
  if (text.empty()) return {};
  std::vector<int32_t> tokens = Tokenize(vocab, text, false, true);
  // Some tokenizers put a space before the first special token; the grammar has not.
  if (!tokens.empty() && !std::isspace(static_cast<unsigned char>(text[0]))) {
    const std::string first = TokenBytes(vocab, tokens[0], true);
    if (!first.empty() && std::isspace(static_cast<unsigned char>(first[0]))) tokens.erase(tokens.begin());
  }
  return tokens;
}

// The model's own pair format, filled in once: a query that contains "{document}" stays as it is.
std::string FillPair(const std::string& format, const std::string& query, const std::string& document) {
  const std::pair<std::string, const std::string&> fields[] = {{"{query}", query}, {"{document}", document}};
  std::string text;
  for (size_t at = 0; at < format.size();) {
    const auto* field = std::find_if(std::begin(fields), std::end(fields), [&](const auto& candidate) {
      return format.compare(at, candidate.first.size(), candidate.first) == 0;
    });
    if (field == std::end(fields)) {
      text += format[at++];
    } else {
      text += field->second;
      at += field->first.size();
    }
  }
  return text;
}

// A query and a document as one input: the model's own rerank template, or BOS query EOS SEP document EOS.
std::vector<int32_t> TokenizePair(const Model& model, const std::string& query, const std::string& document) {
  const llama_vocab* vocab = model.vocab();
  if (const char* own = llama_model_chat_template(model.get(), "rerank")) {
    return Tokenize(vocab, FillPair(own, query, document), false, true);
  }
  std::vector<int32_t> tokens;
  const auto append = [&tokens](const std::vector<int32_t>& more) {
    tokens.insert(tokens.end(), more.begin(), more.end());
  };
  llama_token eos = llama_vocab_eos(vocab);
  if (eos == LLAMA_TOKEN_NULL) eos = llama_vocab_sep(vocab);
  if (llama_vocab_get_add_bos(vocab)) append({llama_vocab_bos(vocab)});
  append(Tokenize(vocab, query, false, false));
  if (llama_vocab_get_add_eos(vocab)) append({eos});
  if (llama_vocab_get_add_sep(vocab)) append({llama_vocab_sep(vocab)});
  append(Tokenize(vocab, document, false, false));
  if (llama_vocab_get_add_eos(vocab)) append({eos});
  return tokens;
}

void PrepareCompletion(const Model& model, CompletionOptions&& options, Request& request) {
  const llama_vocab* vocab = model.vocab();
  if (!options.grammar.empty() && !options.json_schema.empty()) {
    throw Error(ErrorCode::kOptionInvalid, "Expected grammar or jsonSchema, received both");
  }
  GrammarSpec grammar;
  std::vector<int32_t> prefill;
  request.stop = std::move(options.stop);
  if (options.chat) {
    options.chat->grammar = options.grammar;
    options.chat->json_schema = options.json_schema;
    ChatPrompt prompt = model.chat_format().Apply(*options.chat);
    request.tokens = TokenizeChat(vocab, prompt.text);
    request.parser = std::move(prompt.parser);
    request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
    grammar = std::move(prompt.grammar);
    prefill = TokenizePrefill(vocab, prompt.grammar_prefill);
    for (const std::string& text : prompt.preserved_tokens) {
      const std::vector<int32_t> tokens = Tokenize(vocab, text, false, true);
      if (tokens.size() == 1) request.preserved_tokens.push_back(tokens[0]);
    }
  } else {
    grammar.text = !options.json_schema.empty() ? SchemaToGrammar(options.json_schema) : options.grammar;
    request.tokens = options.tokens ? std::move(*options.tokens)
                                    : Tokenize(vocab, options.prompt.value_or(std::string()), options.add_special,
                                               options.parse_special);
    CheckTokens(model, request.tokens);
  }
  if (request.tokens.empty()) {
    throw Error(ErrorCode::kPromptInvalid, "Expected a prompt of at least one token, received an empty one");
  }
  std::erase_if(request.stop, [](const std::string& stop) { return stop.empty(); });

  if (options.ignore_eos) {
    for (int32_t token = 0; token < model.info().vocabulary; ++token) {
      if (llama_vocab_is_eog(vocab, token)) {
        options.sampling.logit_bias.emplace_back(token, -std::numeric_limits<float>::infinity());
      }
    }
  }
  request.sampler = std::make_unique<Sampler>(model, options.sampling, CompileGrammar(vocab, grammar), grammar.lazy);
  request.sampler->AcceptPrompt(request.tokens);
  try {
    request.sampler->AcceptGrammar(prefill);
  } catch (const std::exception& exception) {
    throw Error(ErrorCode::kGrammarInvalid,
                std::string("The grammar does not fit the chat template: ") + exception.what());
  }
  request.max_tokens = options.max_tokens;
  // Where a grammar is complete nothing but the end is left: it is taken although it is not liked.
  request.ignore_eos = options.ignore_eos && grammar.text.empty();
  request.overflow = options.overflow;
  request.logprobs = options.logprobs;
  request.reuse_prefix = options.reuse_prefix;
  request.context = options.context;
  request.speculation = options.speculation;
}

void PrepareEmbedding(const Model& model, EmbeddingOptions&& options, Request& request) {
  if (options.inputs.empty() || options.inputs.size() > kMostInputs) {
    throw Error(ErrorCode::kOptionInvalid, "Expected 1 to " + std::to_string(kMostInputs) + " texts, received " +
                                               std::to_string(options.inputs.size()));
  }
  const bool rerank = options.task == EmbeddingTask::kRerank;
  for (size_t i = 0; i < options.inputs.size(); ++i) {
    std::vector<int32_t> tokens = rerank ? TokenizePair(model, options.query, options.inputs[i])
                                         : Tokenize(model.vocab(), options.inputs[i], true, false);
    if (tokens.empty()) {
      throw Error(ErrorCode::kPromptInvalid,
                  "Expected texts of at least one token, received an empty one at " + std::to_string(i));
    }
    request.inputs.push_back(std::move(tokens));
  }
  request.embedding = options.task;
  request.normalize = options.normalize;
  request.truncate = options.truncate;
}

void PreparePin(const Model& model, const PinOptions& options, Request& request) {
  for (const ChatInput& chat : options.chats) {
    std::vector<int32_t> tokens = TokenizeChat(model.vocab(), model.chat_format().Apply(chat).text);
    if (&chat == &options.chats.front()) {
      request.tokens = std::move(tokens);
    } else {
      request.tokens.resize(size_t(CommonPrefix(request.tokens, tokens)));
    }
  }
  if (request.tokens.empty()) {
    throw Error(
        ErrorCode::kPromptInvalid,
        "Expected a conversation whose beginning does not depend on what follows, received one without such a token");
  }
  request.pin = true;
  request.max_tokens = 0;
  request.speculation = SpeculationMode::kOff;
}

}  // namespace

std::unique_ptr<Request> PrepareRequest(const Model& model, RequestOptions&& options, RequestControlPtr control,
                                        Clock::time_point submitted) {
  auto request = std::make_unique<Request>();
  request->id = options.id;
  request->principal = std::move(options.principal);
  request->control = std::move(control);
  request->submitted = submitted;
  if (options.embedding) {
    PrepareEmbedding(model, std::move(*options.embedding), *request);
  } else if (options.pin) {
    PreparePin(model, *options.pin, *request);
  } else {
    PrepareCompletion(model, std::move(options.completion.value()), *request);
  }
  return request;
}

}  // namespace sotto
