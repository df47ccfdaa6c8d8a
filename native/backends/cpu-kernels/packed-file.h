// packed-file.h: packed weights in a side file: written once, while a model is first loaded, mapped read-only by every later load and
// shared by all processes that map it. What such a file holds is checked before it is believed: its header, its list of tensors, and a sum
// of every megabyte. The sums find damage, not an attacker: the file must lie where only its user writes. That all sums were right is
// remembered beside it (`.checked`) for as long as the system says that nobody has changed the file.
//
//     header       struct header, at 0
//     image        the buffer, at 64 KiB: page-aligned on every system
//     sums         u64 a MiB of the image
//     tensors      of each: u64 offset in the image, u64 size, i64 ne[4], i32 type, u32 length of the name, the name
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <future>
#include <string>
#include <vector>

struct ggml_tensor;

class sotto_packed_file {
public:
    ~sotto_packed_file();
    sotto_packed_file(const sotto_packed_file &) = delete;
    sotto_packed_file & operator=(const sotto_packed_file &) = delete;

    // Looks at the file of this name; its sums are computed on other threads while the caller does something else. bring: its pages are
    // brought into this process where nothing else has to look at them.
    explicit sotto_packed_file(const std::string & path, bool bring = true);

    // The image gets its size. A file that is not whole, or not one of this layout and size, is made again. False with a reason when there
    // can be none: no room, no right to write, a system without such mappings.
    bool open(size_t size, std::string & reason);

    void * image() const { return image_; }
    bool complete() const { return complete_; }  // what was opened is whole: its tensors need no packing

    // Whether the image holds this tensor already. False: it is to be packed, and the image can be written to (a private copy of it, where
    // the file disagrees with the model: the file is then made again by the next load).
    bool holds(const ggml_tensor * tensor, size_t size);

    // Writes to the image, wherever in it; several threads may.
    void write(void * to, const void * bytes, size_t size);

    // Everything has been packed: sums and tensors are written, and the file gets its name. Does nothing to a complete one.
    // False with a reason: the image goes on as memory of this process only.
    bool finish(std::string & reason);

private:
    struct entry {
        std::string name;
        uint64_t offset, size;
        int64_t ne[4];
        int32_t type;
        bool operator==(const entry & other) const;
    };

    const char * read();  // what is wrong with the file, "" when there is none, null when it is whole
    bool make(std::string & reason);
    void unmap();
    std::string tail(const std::vector<uint64_t> & sums) const;

    const std::string path_;
    const bool bring_;
    std::string temporary_;
    std::future<const char *> reading_;
    void * image_ = nullptr;
    size_t size_ = 0;
    int fd_ = -1;  // of the temporary file
    bool complete_ = false;
    std::vector<entry> entries_;
};
