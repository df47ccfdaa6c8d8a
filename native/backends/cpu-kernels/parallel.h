// parallel.h: work on weights while a model is loaded, when ggml's pool is not there yet.
#pragma once

#include <stdint.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

// Calls work(0) … work(n - 1). What is done here is bound by memory: as many threads as share its bandwidth.
template <typename Work> void sotto_in_parallel(int64_t n, const Work & work) {
    std::atomic<int64_t> next{ 0 };
    const auto take = [&] {
        for (int64_t i = next++; i < n; i = next++) {
            work(i);
        }
    };
    std::vector<std::thread> helpers;
    const int64_t most = std::min<int64_t>({ n, 8, int64_t(std::max(std::thread::hardware_concurrency(), 1u)) });
    for (int64_t i = 1; i < most; i++) {
        try {
            helpers.emplace_back(take);
        } catch (const std::exception &) {
            break;  // no more threads to be had: it goes on with those that are there
        }
    }
    take();
    for (std::thread & helper : helpers) {
        helper.join();
    }
}
