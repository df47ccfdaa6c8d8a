// test-model.h: the tiny model that scripts/test.mjs makes, loaded once for all tests; null when SOTTO_TEST_MODEL is not set.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/error.h"
#include "engine/devices.h"
#include "engine/model.h"

namespace sotto {

inline ModelPtr TestModel() {
  static const ModelPtr model = []() -> ModelPtr {
    const char* path = std::getenv("SOTTO_TEST_MODEL");
    if (!path) return nullptr;
    InitBackends(".");
    ModelOptions options;
    options.paths = {path};
    const std::atomic<bool> never{false};
    return Model::Load(options, never, nullptr);
  }();
  return model;
}

class ModelTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = TestModel();
    if (!model_) GTEST_SKIP() << "SOTTO_TEST_MODEL names no model";
  }
  ModelPtr model_;
};

// The code of the Error that `call` throws, and its message in `message`; kAborted when it throws none.
template <typename Call>
ErrorCode CodeOf(const Call& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.code();
  }
  return ErrorCode::kAborted;
}

}  // namespace sotto
