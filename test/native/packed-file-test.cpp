// Packed weights in a file: written by the first load, mapped by the second, and never believed when they are not what was written.
#ifndef _WIN32

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "backends/cpu-kernels/cpu-kernels.h"
#include "backends/cpu-kernels/packed-file.h"
#include "engine/kernels.h"

namespace {

namespace fs = std::filesystem;
using sotto::KernelInfo;
using sotto::KernelUse;

constexpr int64_t kColumns = 512, kRows = 5000;  // more than a megabyte: more than one sum

class PackedFile : public testing::Test {
 protected:
  void SetUp() override {
    ggml_backend_cpu_kernels_register();
    if (std::string(ggml_backend_cpu_kernels_name()) == "off") GTEST_SKIP() << "no instruction set of ours";
    sotto::KernelFunctions functions;
    functions.name = ggml_backend_cpu_kernels_name;
    functions.use = ggml_backend_cpu_kernels_use;
    functions.loaded = ggml_backend_cpu_kernels_loaded;
    sotto::SetKernelFunctions(functions);
    std::string name = (fs::temp_directory_path() / "sotto-packed-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = (folder_ / "model.packed").string();
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> values(size_t(kColumns * kRows));
    for (float& value : values) value = normal(random);
    rows_.resize(ggml_row_size(GGML_TYPE_Q4_0, kColumns) * size_t(kRows));
    ggml_quantize_chunk(GGML_TYPE_Q4_0, values.data(), rows_.data(), 0, kRows, kColumns, nullptr);
  }
  void TearDown() override {
    sotto::SetKernelFunctions({});
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  // What a load does with one weight; `image` gets the bytes that the kernels will read.
  KernelInfo Load(std::vector<uint8_t>& image, const std::string& path, const char* name = "w") {
    ggml_context_ptr context(ggml_init({1 << 16, nullptr, true}));
    ggml_tensor* weight = ggml_new_tensor_2d(context.get(), GGML_TYPE_Q4_0, kColumns, kRows);
    ggml_set_name(weight, name);
    KernelUse use(false, path);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context.get(), ggml_backend_cpu_kernels_buffer_type()));
    ggml_backend_tensor_set(weight, rows_.data(), 0, rows_.size());
    const uint8_t* bytes = static_cast<const uint8_t*>(weight->data);
    image.assign(bytes, bytes + ggml_backend_buffer_get_size(buffer_.get()));
    return use.Loaded();
  }

  // Changes the file with `harm`, and says whether the next load made it again, right.
  void ExpectMadeAgainAfter(const std::function<void(std::fstream&)>& harm) {
    std::vector<uint8_t> before, after;
    EXPECT_EQ(Load(before, path_).weights, "file");
    {
      std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
      harm(file);
    }
    const std::string harmed = Contents();
    const KernelInfo info = Load(after, path_);
    EXPECT_EQ(info.weights, "file");
    EXPECT_EQ(info.problem, "");
    EXPECT_EQ(after, before);
    EXPECT_NE(Contents(), harmed);
  }

  std::string Contents() { return ContentsOf(path_); }
  static std::string ContentsOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string Checked() const { return path_ + ".checked"; }

  // Loads until the file has not changed for long enough to be remembered as whole.
  std::string Settle() {
    std::vector<uint8_t> image;
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      Load(image, path_);
    } while (fs::file_size(Checked()) == 0);
    return ContentsOf(Checked());
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    return names;
  }

  fs::path folder_;
  std::string path_;
  std::vector<uint8_t> rows_;
  ggml_backend_buffer_ptr buffer_;
};

void FlipAt(std::fstream& file, int64_t at, std::ios::seekdir from = std::ios::beg) {
  file.seekg(at, from);
  const char byte = char(file.peek() ^ 1);
  file.seekp(at, from);
  file.put(byte);
}

TEST_F(PackedFile, IsWrittenOnceAndMappedFromThenOn) {
  std::vector<uint8_t> memory, first, second;
  EXPECT_EQ(Load(memory, "").weights, "memory");
  EXPECT_TRUE(Names().empty());
  EXPECT_EQ(Load(first, path_).weights, "file");
  EXPECT_EQ(Names(), std::vector<std::string>{"model.packed"});
  const fs::file_time_type written = fs::last_write_time(path_);
  const std::string contents = Contents();
  const KernelInfo info = Load(second, path_);
  EXPECT_EQ(info.weights, "file");
  EXPECT_EQ(info.tensors, std::vector<std::string>{"w"});
  EXPECT_EQ(first, memory);
  EXPECT_EQ(second, memory);
  EXPECT_EQ(Contents(), contents);
  EXPECT_EQ(fs::last_write_time(path_), written) << "its times say whether anybody changed it";
  EXPECT_GE(fs::last_write_time(Checked()), written) << "a load says that it used the file";
}

TEST_F(PackedFile, SecondLoadReadsNoWeights) {
  std::vector<uint8_t> first, second;
  Load(first, path_);
  std::fill(rows_.begin(), rows_.end(), 0);
  Load(second, path_);
  EXPECT_EQ(second, first);
}

TEST_F(PackedFile, FlippedByteOfTheImage) {
  ExpectMadeAgainAfter([](std::fstream& file) { FlipAt(file, (64 << 10) + 1234567); });
}
TEST_F(PackedFile, FlippedByteOfTheHeader) {
  ExpectMadeAgainAfter([](std::fstream& file) { FlipAt(file, 17); });
}
TEST_F(PackedFile, FlippedByteOfTheTensors) {
  ExpectMadeAgainAfter([](std::fstream& file) { FlipAt(file, -3, std::ios::end); });
}

// A file that changed a moment ago may change again within one tick of the clock: what is remembered of it comes later.
TEST_F(PackedFile, FoundWholeIsRemembered) {
  std::vector<uint8_t> image;
  Load(image, path_);
  Load(image, path_);
  EXPECT_EQ(fs::file_size(Checked()), 0u);
  const std::string remembered = Settle();
  Load(image, path_);
  EXPECT_EQ(ContentsOf(Checked()), remembered);
}
TEST_F(PackedFile, FlippedByteOfOneFoundWhole) {
  ExpectMadeAgainAfter([this](std::fstream& file) {
    Settle();
    const fs::file_time_type written = fs::last_write_time(path_);
    FlipAt(file, (64 << 10) + 1234567);
    file.close();
    fs::last_write_time(path_, written);
  });
}
TEST_F(PackedFile, CopyOfOneFoundWholeIsReadAgain) {
  ExpectMadeAgainAfter([this](std::fstream& file) {
    const std::string remembered = Settle();
    FlipAt(file, (64 << 10) + 1234567);
    file.close();
    const fs::path copy = folder_ / "copy";
    fs::copy_file(path_, copy);
    fs::rename(copy, path_);
    std::ofstream(Checked(), std::ios::binary) << remembered;
  });
}
TEST_F(PackedFile, RecordThatIsDamagedIsNotBelieved) {
  std::vector<uint8_t> image;
  Load(image, path_);
  const std::string remembered = Settle();
  std::string wrong = remembered;
  wrong[3] ^= 1;
  std::ofstream(Checked(), std::ios::binary) << wrong;
  Load(image, path_);
  EXPECT_EQ(ContentsOf(Checked()), remembered);
}

TEST_F(PackedFile, CutShort) {
  ExpectMadeAgainAfter([this](std::fstream& file) {
    file.close();
    fs::resize_file(path_, fs::file_size(path_) / 2);
  });
}
TEST_F(PackedFile, Emptied) {
  ExpectMadeAgainAfter([this](std::fstream& file) {
    file.close();
    fs::resize_file(path_, 0);
  });
}
TEST_F(PackedFile, OfSomethingElse) {
  ExpectMadeAgainAfter([](std::fstream& file) { file << "GGUF, or anything else"; });
}

TEST_F(PackedFile, OfAnotherModelIsPackedOverAndMadeAgain) {
  std::vector<uint8_t> image, expected;
  Load(image, path_);
  std::fill(rows_.begin(), rows_.end(), uint8_t(7));
  Load(expected, "", "other");
  EXPECT_EQ(Load(image, path_, "other").weights, "file");
  EXPECT_EQ(image, expected) << "as many bytes, but not the same tensor";
  EXPECT_TRUE(Names().empty()) << "it is not offered to the next load";
  EXPECT_EQ(Load(image, path_, "other").weights, "file");
  EXPECT_EQ(image, expected);
  EXPECT_EQ(Names().size(), 1u);
}

TEST_F(PackedFile, LoadThatFailsLeavesNothing) {
  std::vector<uint8_t> image;
  {
    KernelUse use(false, path_);
    buffer_.reset(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_kernels_buffer_type(), 1 << 20));
    EXPECT_EQ(Names().size(), 1u);
  }
  buffer_.reset();
  EXPECT_TRUE(Names().empty());
}

TEST_F(PackedFile, PlaceThatCannotBeWrittenToSaysWhy) {
  std::vector<uint8_t> image, expected;
  Load(expected, "");
  const KernelInfo info = Load(image, "/dev/null/model.packed");
  EXPECT_EQ(info.weights, "memory");
  EXPECT_NE(info.problem.find("Not a directory"), std::string::npos) << info.problem;
  EXPECT_EQ(image, expected);
}

TEST_F(PackedFile, DiskWithoutRoomSaysWhy) {
  std::string problem;
  {
    sotto_packed_file file(path_, false);
    EXPECT_FALSE(file.open(size_t(1) << 50, problem));
    EXPECT_NE(problem, "");
  }
  EXPECT_TRUE(Names().empty());
}

}  // namespace
#endif
