// team.h: who shares an operation's work. ggml's threads, which all come here and meet at barriers; or one of them and a crew of threads
// that the engine keeps, which nobody waits for unless they hold a piece of the work: one that is put aside delays its piece, not
// every barrier, and the small operations in between cost no barriers at all.
#pragma once

#include <stdint.h>

#include "ggml-cpu-impl.h"

// What a thread may call on while ggml computes a graph with it alone.
struct sotto_crew {
    void (*run)(void * crew, int64_t n, void (*work)(void * data, int64_t i, int member), void * data);
    void * crew;
    int    members;  // this thread too
};

// Of this thread; run is null where it has none.
sotto_crew & sotto_crew_of_thread();

// Members that an operation is planned for, when ggml plans n threads.
inline int sotto_team_size(int n_threads) {
    const sotto_crew & crew = sotto_crew_of_thread();
    return n_threads == 1 && crew.run ? crew.members : n_threads;
}

class sotto_team {
  public:
    explicit sotto_team(const ggml_compute_params * params) : params(params), crew(params->nth == 1 ? sotto_crew_of_thread() : sotto_crew{}) {}

    int size() const { return crew.run ? crew.members : params->nth; }

    // work(i, member) for every i, in equal pieces; after it everyone sees everything.
    template <typename Work> void each(int64_t n, const Work & work) {
        if (crew.run) {
            share(n, work);
            return;
        }
        for (int64_t i = params->ith; i < n; i += params->nth) {
            work(i, params->ith);
        }
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
    }

    // The same in pieces of their own length, once after each `each`: whoever is free takes the next. Not everything is done for everyone yet.
    template <typename Work> void take(int64_t n, const Work & work) {
        if (crew.run) {
            share(n, work);
            return;
        }
        for (int64_t i = params->ith; i < n; i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            work(i, params->ith);
        }
    }

    // Before memory that somebody may still read is written to again.
    void wait() {
        if (!crew.run) {
            ggml_barrier(params->threadpool);
        }
    }

  private:
    template <typename Work> void share(int64_t n, const Work & work) {
        if (n == 1) {
            work(0, 0);
        } else if (n > 1) {
            crew.run(crew.crew, n, [](void * data, int64_t i, int member) { (*(const Work *) data)(i, member); }, (void *) &work);
        }
    }

    const ggml_compute_params * params;
    const sotto_crew crew;
};
