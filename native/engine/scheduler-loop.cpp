#include "engine/scheduler-loop.h"

#include <algorithm>
#include <exception>

#include "base/cpu-time.h"
#include "base/error.h"
#include "base/log.h"
#include "base/probe.h"

namespace sotto {
namespace {

constexpr int kDraftRest = 64;  // steps; while one sequence after the other ends, a draft would find no cells again

}  // namespace

void Scheduler::Loop::Run() {
  // Upstream reports an aborted graph as an error; on this thread its lines are kept for messages, not printed.
  const LogCapture log;
  KernelUse kernels(model_->info().upstream_kernels, "");
  kernels_ = &kernels;
  bool busy = false;
  while (!closing_) {
    try {
      // Nothing was computed in the last turn: everybody is done, paused, or waits for one who is paused.
      Take(busy ? mailbox_.TakeNow() : mailbox_.Wait());
      if (closing_) break;
      busy = ReapCancelled();
      Admit();
      busy |= Step();
      busy |= StepEmbeddings();
    } catch (const std::exception& exception) {
      FailEverything(ErrorCode::kInternal, std::string("The scheduler failed: ") + exception.what());
    }
    Flush();
  }
  Take(mailbox_.TakeNow());
  FailEverything(ErrorCode::kModelClosed, "The model was closed while the request ran");
  Flush();
  // What must not outlive this thread's turn with it: contexts first, the pool after them.
  embedder_.reset();
  draft_.reset();
  cache_.reset();
  context_.reset();
  pool_.reset();
  former_pools_.clear();
}

void Scheduler::Loop::Take(std::vector<Command>&& commands) {
  for (Command& command : commands) std::visit([this](auto& each) { Do(each); }, command);
}

void Scheduler::Loop::Do(RequestPtr& request) {
  // Those who will be admitted in this turn do not wait.
  if (int(waiting_.size() + running_.size()) >= options_.queue_limit + options_.sequences) {
    events_.push_back(Event::Failed(request->id, ErrorCode::kQueueFull,
                                    "Expected at most " + std::to_string(options_.queue_limit) +
                                        " waiting requests: try again when some have finished"));
    return;
  }
  if (request->embedding) {
    try {
      if (!embedder_) {
        Embedder::Options options;
        options.batch_size = std::max(options.batch_size, options_.batch_size);
        options.pooling = options_.pooling;
        options.abort = AbortCallback;
        options.abort_data = this;
        embedder_ = std::make_unique<Embedder>(model_, options);
        AttachPool(options_.threads);
      }
      embedder_->Add(std::move(request));
    } catch (const Error& error) {
      events_.push_back(Event::Failed(request->id, error.code(), error.what()));
    } catch (const std::exception& exception) {
      events_.push_back(Event::Failed(request->id, ErrorCode::kInternal, exception.what()));
    }
    return;
  }
  if (!context_) {
    events_.push_back(Event::Failed(request->id, ErrorCode::kModelUnsupported,
                                    "Expected a decoder-only text model, received " + model_->info().description));
    return;
  }
  if (!FitsBesidePins(*request)) return;
  auto sequence = std::make_unique<Sequence>(std::move(request), model_->vocab());
  sequence->arrival = ++arrivals_;
  const SpeculationMode mode = sequence->request->speculation.value_or(options_.speculation);
  if (info_.can_speculate && mode != SpeculationMode::kOff) {
    sequence->speculation = std::make_unique<Speculation>(mode, sequence->prompt_length);
  }
  SOTTO_PROBE2(request__queued, sequence->request->id, sequence->prompt_length);
  waiting_.push_back(std::move(sequence));
}

bool Scheduler::Loop::ReapCancelled() {
  bool reaped = false;
  const auto reap = [&](const SequencePtr& sequence) {
    if (!sequence->cancelled()) return false;
    Finish(*sequence, FinishReason::kAbort);
    return reaped = true;
  };
  std::erase_if(waiting_, reap);
  std::erase_if(running_, reap);
  return reaped;
}

// In order of arrival: whoever finds no room stops those behind, so that small requests cannot starve a large one.
void Scheduler::Loop::Admit() {
  int looked = 0;
  for (auto next = waiting_.begin(); next != waiting_.end() && looked < 2 * options_.sequences;) {
    ++looked;
    switch (TryAdmit(**next)) {
      case Admission::kAdmitted:
        running_.push_back(std::move(*next));
        next = waiting_.erase(next);
        break;
      case Admission::kNotNow: ++next; break;
      case Admission::kNoRoom:
        if (!ParkPaused()) return;
        next = waiting_.begin();
        break;
    }
  }
}

Scheduler::Loop::Admission Scheduler::Loop::TryAdmit(Sequence& sequence) {
  if (sequence.reused >= 0 && sequence.request->control->paused) return Admission::kNotNow;  // parked until it is read
  if (int(running_.size()) >= options_.sequences) return Admission::kNoRoom;
  const bool reuse = options_.prefix_cache && sequence.request->reuse_prefix;
  const ContextId context = sequence.request->context;
  if (const Admission admission = Unpark(sequence); admission != Admission::kAdmitted) return admission;
  const bool pin = sequence.request->pin;
  const int found = pin     ? cache_->LookupPinned(sequence.tokens)
                    : reuse ? cache_->Lookup(sequence.request->principal, sequence.tokens)
                            : 0;
  if (reuse && LeaderIsComing(sequence, found)) return Admission::kNotNow;
  // What it shares with somebody who runs is counted there; what it finds otherwise is not.
  const int shared = pin ? found : reuse ? cache_->LookupRunning(sequence.request->principal, sequence.tokens) : 0;
  int cells = cache_->RunningCells() + int(sequence.tokens.size()) - shared;
  for (const SequencePtr& other : running_) cells += other->pending();
  if (!running_.empty() && cells > info_.context_size) return Admission::kNoRoom;

  const PrefixCache::Lease lease = pin ? cache_->AcquireToPin(sequence.tokens)
                                       : cache_->Acquire(sequence.request->principal, sequence.tokens, reuse, context);
  if (lease.id < 0) return Admission::kNoRoom;
  sequence.id = lease.id;
  sequence.cached = lease.reused;
  if (sequence.reused < 0) {
    sequence.reused = lease.reused;
    sequence.admitted = Clock::now();
    SOTTO_PROBE2(request__admitted, sequence.request->id, lease.reused);
  }
  return Admission::kAdmitted;
}

// Gives the place of a sequence that nobody reads to somebody who waits. What it computed stays cached while there is
// room.
bool Scheduler::Loop::ParkPaused() {
  const auto paused = std::find_if(running_.begin(), running_.end(), [](const SequencePtr& s) { return s->paused(); });
  if (paused == running_.end()) return false;
  Requeue(paused, true);
  return true;
}

// Back to the queue with all its tokens, to be prefilled again from whatever is still cached then.
void Scheduler::Loop::Requeue(std::vector<SequencePtr>::iterator position, bool keep) {
  Sequence& sequence = **position;
  cache_->Release(sequence.id, keep && sequence.request->reuse_prefix);
  if (draft_) draft_->Release(std::exchange(sequence.draft_slot, -1));
  sequence.id = -1;
  sequence.cached = 0;
  if (keep) {
    waiting_.push_back(std::move(*position));
  } else {
    waiting_.push_front(std::move(*position));
  }
  running_.erase(position);
}

// Somebody who runs is about to compute a longer part of this prompt than is cached now: waiting is cheaper than doing
// it twice, and needs half the cells.
bool Scheduler::Loop::LeaderIsComing(const Sequence& sequence, int found) const {
  if (model_->info().recurrent || model_->info().hybrid) return false;
  for (const SequencePtr& leader : running_) {
    if (!leader->prefilling() || leader->cancelled() || !leader->request->reuse_prefix) continue;
    const bool for_all = leader->request->pin;
    if (!for_all && (sequence.request->pin || leader->request->principal != sequence.request->principal)) continue;
    const int common = CommonPrefix(leader->tokens, sequence.tokens);
    if (common > leader->cached && common > found + info_.batch_size / 16) return true;
  }
  return false;
}

// False when there was nothing to compute.
bool Scheduler::Loop::Step() {
  if (running_.empty()) return false;
  Draft();
  planner_.Plan(running_, *batch_);
  if (batch_->size() == 0) return false;
  const auto start = Clock::now();
  SOTTO_PROBE2(step__begin, batch_->size(), running_.size());
  const int32_t status = Decode();
  SOTTO_PROBE2(step__end, batch_->size(), status);
  if (FailIfDamaged(events_.size())) return true;
  if (status == 0) {
    planner_.Measured(MillisecondsBetween(start, Clock::now()));
    Advance();
  } else if (status == 1) {
    if (drafted_ > 0) {  // not worth what others remember
      draft_rest_ = kDraftRest;
    } else if (!MakeRoom()) {
      // Alone and still no room: this is the end of the context.
      Sequence& sequence = *running_.front();
      if (sequence.request->overflow == Overflow::kShift && Shift(sequence)) return true;
      Finish(sequence, FinishReason::kContext);
      running_.erase(running_.begin());
    }
  } else if (status != 2) {  // 2: aborted; the cancelled leave at the next turn, the others go again
    FailEverything(ErrorCode::kDecodeFailed, "The compute backend failed with status " + std::to_string(status));
  }
  return true;
}

int32_t Scheduler::Loop::Decode() {
  abortable_.clear();
  for (const SequencePtr& sequence : running_) {
    if (sequence->chunk > 1) abortable_.push_back(sequence->request->control.get());
  }
  const auto turn = pool_->Turn([this] { return AbortCallback(this); });
  if (!turn) return 2;
  try {
    const bool prefill = !abortable_.empty();
    const int prompt = options_.threads.prompt;
    const bool pool = prefill && !prompt_threads_.Crew(prompt, batch_->size());
    const bool crew = UseThreads(prefill && !pool ? prompt : governor_.threads(), pool);
    kernels_->Foreign();  // of graphs before
    const auto start = Clock::now();
    const bool measured = prefill || !crew;  // nobody asks about a token that a crew computes
    const double cpu = measured ? ProcessCpuMs() : 0;
    const int32_t status = llama_decode(context_.get(), batch_->get());
    if (status == 0) llama_synchronize(context_.get());
    if (!prefill) shareable_ = !kernels_->Foreign();
    if (status != 0 || !measured) return status;
    const double ms = MillisecondsBetween(start, Clock::now()), cpu_ms = ProcessCpuMs() - cpu;
    if (prefill) {
      prompt_threads_.Measured(crew, prompt, ms, cpu_ms);
    } else {
      governor_.Measured(batch_->size(), ms, cpu_ms);
    }
    return status;
  } catch (const std::exception& exception) {
    Log(LogLevel::kError, std::string("llama_decode: ") + exception.what());
    return -3;
  }
}

// Frees cells for the batch that found none: what is only remembered goes first, then the youngest runner, who keeps
// its tokens and comes back later. False when a single sequence fills the cache.
bool Scheduler::Loop::MakeRoom() {
  if (cache_->EvictOne()) return true;
  if (running_.size() < 2) return false;
  const auto youngest =
      std::max_element(running_.begin(), running_.end(),
                       [](const SequencePtr& a, const SequencePtr& b) { return a->arrival < b->arrival; });
  Requeue(youngest, false);
  return true;
}

// Forgets the older half behind the first tokens, so that a long answer can go on. The cells keep what was computed
// with the forgotten tokens in sight, so nobody else may share them afterwards.
bool Scheduler::Loop::Shift(Sequence& sequence) {
  if (!info_.can_shift || sequence.cached < 8) return false;
  // The attention sinks: StreamingLLM, arXiv 2309.17453. What is pinned must stay where others find it.
  const int keep = std::max(std::min(4, sequence.cached / 4), cache_->LookupPinned(sequence.tokens));
  if (sequence.cached - keep < 2) return false;
  const int drop = (sequence.cached - keep) / 2;
  llama_memory_t memory = llama_get_memory(context_.get());
  cache_->Unshare(sequence.id);
  if (!llama_memory_seq_rm(memory, sequence.id, keep, keep + drop)) return false;
  llama_memory_seq_add(memory, sequence.id, keep + drop, sequence.cached, -drop);
  sequence.tokens.erase(sequence.tokens.begin() + keep, sequence.tokens.begin() + keep + drop);
  sequence.cached -= drop;
  if (sequence.speculation) sequence.speculation->Forget(int(sequence.tokens.size()));
  return true;
}

// After a successful decode: what was computed is shared, and every sequence with logits gets its tokens.
void Scheduler::Loop::Advance() {
  std::erase_if(running_, [this](const SequencePtr& sequence) {
    if (sequence->chunk == 0) return false;
    cache_->Extend(sequence->id,
                   std::span(sequence->tokens).subspan(size_t(sequence->cached), size_t(sequence->chunk)));
    sequence->cached += sequence->chunk;
    return sequence->row >= 0 && !Verify(*sequence);
  });
}

// One token for one sequence. False when the sequence has ended.
bool Scheduler::Loop::Sample(Sequence& sequence, int row) {
  const Request& request = *sequence.request;
  if (sequence.prefilled == Clock::time_point{}) sequence.prefilled = Clock::now();
  if (sequence.cancelled()) {
    Finish(sequence, FinishReason::kAbort);
    return false;
  }
  if (request.max_tokens == 0) {
    Finish(sequence, FinishReason::kLength);
    return false;
  }
  const float* logits = llama_get_logits_ith(context_.get(), row);
  if (!logits) {
    Fail(sequence, ErrorCode::kDecodeFailed, "The backend gave no logits");
    return false;
  }
  llama_token token = LLAMA_TOKEN_NULL;
  try {
    token = sequence.request->sampler->Sample(logits);
    const bool ends = !request.ignore_eos && llama_vocab_is_eog(model_->vocab(), token);
    if (request.logprobs >= 0 && !ends) {
      Event event;
      event.id = request.id;
      event.kind = Event::Kind::kLogprobs;
      event.logprobs.push_back(sequence.request->sampler->Logprobs(logits, token, request.logprobs));
      events_.push_back(std::move(event));
    }
    sequence.request->sampler->Accept(token);
  } catch (const std::exception& exception) {
    // Upstream's grammar throws when the model leaves it; the batch must not unwind for one sequence.
    Fail(sequence, ErrorCode::kDecodeFailed, std::string("Sampling failed: ") + exception.what());
    return false;
  }
  if (sequence.generated == 0) {
    sequence.first_token = Clock::now();
    SOTTO_PROBE1(request__first__token, request.id);
  }
  if (!request.ignore_eos && llama_vocab_is_eog(model_->vocab(), token)) {
    Finish(sequence, FinishReason::kStop);
    return false;
  }
  const size_t ahead = size_t(row - sequence.row);
  if (ahead < sequence.draft.size() && sequence.draft[ahead] == token) ++sequence.accepted;
  ++sequence.generated;
  sequence.tokens.push_back(token);
  if (!Emit(sequence, sequence.detokenizer.Push(token), false)) return false;
  if (request.max_tokens >= 0 && sequence.generated >= request.max_tokens) {
    Finish(sequence, FinishReason::kLength);
    return false;
  }
  return true;
}

// Text that is complete goes through the stop matcher and the chat parser to the reader. False when a stop string ended
// it.
bool Scheduler::Loop::Emit(Sequence& sequence, std::string text, bool last) {
  int matched = -1;
  if (!text.empty()) {
    StopMatcher::Output safe = sequence.stop_matcher.Push(text);
    text = std::move(safe.text);
    matched = safe.matched;
  }
  if (last && matched < 0) text += sequence.stop_matcher.Flush();
  if (sequence.request->parser) {
    sequence.request->parser->Push(sequence.request->id, text, last || matched >= 0, events_);
  } else if (!text.empty()) {
    events_.push_back(Event::Text(sequence.request->id, std::move(text)));
  }
  if (matched < 0) return true;
  sequence.request->parser.reset();  // flushed above; Finish must not do it again
  Finish(sequence, FinishReason::kStop, sequence.request->stop[size_t(matched)]);
  return false;
}

// The one door out for whatever ended well: stop, length, abort, context. The caller takes the sequence off its list.
void Scheduler::Loop::Finish(Sequence& sequence, FinishReason reason, std::string stop_string) {
  if (stop_string.empty() && !Emit(sequence, sequence.detokenizer.Flush(), true)) return;
  const auto now = Clock::now();
  const Request& request = *sequence.request;
  Result result;
  result.finish_reason = reason;
  result.stop_string = std::move(stop_string);
  result.queue_ms = MillisecondsBetween(request.submitted, sequence.reused < 0 ? now : sequence.admitted);
  result.prompt_ms = MillisecondsBetween(sequence.admitted, sequence.prefilled);
  result.first_token_ms = MillisecondsBetween(request.submitted, sequence.first_token);
  result.total_ms = MillisecondsBetween(request.submitted, now);
  result.tokens_prompt = sequence.prompt_length;
  result.tokens_reused = std::max(sequence.reused, 0);
  result.tokens_generated = sequence.generated;
  result.tokens_drafted = sequence.drafted;
  result.tokens_accepted = sequence.accepted;
  SOTTO_PROBE3(request__done, request.id, int(reason), sequence.generated);
  if (request.pin && reason == FinishReason::kLength) Pin(sequence);
  events_.push_back(Event::Done(request.id, std::move(result)));
  Retire(sequence);
}

void Scheduler::Loop::Fail(Sequence& sequence, ErrorCode code, const std::string& message) {
  SOTTO_PROBE2(request__failed, sequence.request->id, int(code));
  events_.push_back(Event::Failed(sequence.request->id, code, message));
  Retire(sequence);
}

void Scheduler::Loop::Retire(Sequence& sequence) {
  if (draft_) draft_->Release(std::exchange(sequence.draft_slot, -1));
  if (sequence.id >= 0) Release(sequence, options_.prefix_cache && sequence.request->reuse_prefix);
}

bool Scheduler::Loop::StepEmbeddings() {
  if (!embedder_ || embedder_->idle()) return false;
  const auto turn = pool_->Turn([this] { return closing_.load(); });
  if (!turn) return false;
  const int threads = options_.threads.prompt;
  const bool crew = UseThreadsToEmbed(embedding_threads_.starved());
  embedding_ = true;
  const size_t before = events_.size();
  const auto start = Clock::now();
  const double cpu = ProcessCpuMs();
  embedder_->Step(events_);
  embedding_threads_.Measured(crew, threads, MillisecondsBetween(start, Clock::now()), ProcessCpuMs() - cpu);
  embedding_ = false;
  FailIfDamaged(before);
  return true;
}

void Scheduler::Loop::FailEverything(ErrorCode code, const std::string& message) {
  for (const SequencePtr& sequence : running_) Fail(*sequence, code, message);
  for (const SequencePtr& sequence : waiting_) Fail(*sequence, code, message);
  running_.clear();
  waiting_.clear();
  if (cache_) {
    // After a failed step nobody knows what the cells hold.
    const auto park = std::exchange(cache_->on_evict,
                                    [this](ContextId context, int) { events_.push_back(Event::Context(context, {})); });
    while (cache_->EvictOne()) continue;
    cache_->on_evict = park;
    if (!pins_.empty()) Log(LogLevel::kWarn, "Pinned prefixes are lost: they will be computed with every prompt");
    cache_->UnpinAll();
    pins_.clear();
  }
  if (embedder_) embedder_->FailAll(code, message, events_);
}

// A mapped file that was cut short reads as zeros: the last step was computed with them, with its events from `first` on, and so would the next.
// A draft model may be damaged: what it proposes is verified.
bool Scheduler::Loop::FailIfDamaged(size_t first) {
  if (!model_->damaged()) return false;
  const std::string message = model_->DamageMessage();
  size_t end = first;
  for (size_t i = first; i < events_.size(); ++i) {
    if (events_[i].kind == Event::Kind::kDone) {
      events_[end++] = Event::Failed(events_[i].id, ErrorCode::kModelChanged, message);
    }
  }
  events_.erase(events_.begin() + std::ptrdiff_t(end), events_.end());
  FailEverything(ErrorCode::kModelChanged, message);
  return true;
}

void Scheduler::Loop::Flush() {
  if (events_.empty()) return;
  sink_(std::exchange(events_, {}));
}

// Called between two nodes of the graph, on the scheduler's thread.
bool Scheduler::Loop::AbortCallback(void* data) {
  const Loop& loop = *static_cast<const Loop*>(data);
  if (loop.closing_.load(std::memory_order_relaxed)) return true;
  if (loop.embedding_) return loop.embedder_->Cancelled();
  for (const RequestControl* control : loop.abortable_) {
    if (control->cancelled.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

}  // namespace sotto
