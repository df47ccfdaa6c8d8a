#include "engine/kernels.h"

#include <utility>

#include "engine/crew.h"

namespace sotto {
namespace {

KernelFunctions functions;

}  // namespace

void SetKernelFunctions(const KernelFunctions& found) { functions = found; }

std::string KernelName() { return functions.name ? functions.name() : "off"; }

KernelUse::KernelUse(bool upstream, const std::string& packed_path, bool bring) : path_(packed_path) {
  if (!upstream) info_.name = KernelName();
  if (functions.use) functions.use(upstream, path_.empty() ? nullptr : path_.c_str(), bring, OnPacked, this);
}

KernelUse::~KernelUse() {
  Share(nullptr);
  if (functions.use) functions.use(false, nullptr, false, nullptr, nullptr);
}

bool KernelUse::Share(Crew* crew) {
  if (!functions.crew || !functions.foreign) return false;
  const auto run = [](void* with, int64_t pieces, Crew::Work work, void* data) {
    static_cast<Crew*>(with)->Run(pieces, work, data);
  };
  functions.crew(crew ? +run : nullptr, crew, crew ? crew->size() : 1);
  return true;
}

bool KernelUse::Foreign() { return !functions.foreign || functions.foreign(); }

KernelInfo KernelUse::Loaded() {
  // Also where nothing was packed: then nobody who allocates later is to get the file.
  const char* where = functions.loaded ? functions.loaded() : "";
  if (!info_.tensors.empty()) info_.weights = where;
  return std::move(info_);
}

void KernelUse::OnPacked(void* data, const char* tensor, const char* problem) {
  KernelInfo& info = static_cast<KernelUse*>(data)->info_;
  if (tensor) info.tensors.emplace_back(tensor);
  if (problem) info.problem = problem;
}

}  // namespace sotto
