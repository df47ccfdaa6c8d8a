#include "packed-file.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <system_error>

#include "ggml-impl.h"
#include "layout.h"
#include "parallel.h"

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace {

struct header {
    char magic[8];
    uint32_t layout;
    uint32_t n_tensors;
    uint64_t image_size;
    uint64_t tail_size;  // sums and tensors
    uint64_t tail_sum;
    uint64_t sum;  // of what stands before it
};

constexpr char MAGIC[8] = { 's', 'o', 't', 't', 'o', 'p', 'a', 'k' };
constexpr uint64_t IMAGE = 64 << 10;
constexpr uint64_t CHUNK = 1 << 20;
constexpr uint64_t MOST_TAIL = 64 << 20;

// Fletcher's sums (IEEE Transactions on Communications 30.1) in sixteen lanes, which a compiler makes into vectors: as fast as memory. A
// changed byte always changes them.
uint64_t sum_of(const void * data, size_t size) {
    uint32_t a[16] = {}, b[16] = {}, word[16];
    const char * at = (const char *) data;
    for (; size >= sizeof(word); at += sizeof(word), size -= sizeof(word)) {
        memcpy(word, at, sizeof(word));
        for (int i = 0; i < 16; i++) {
            a[i] += word[i];
            b[i] += a[i];
        }
    }
    memset(word, 0, sizeof(word));
    memcpy(word, at, size);
    uint64_t sum = 14695981039346656037u;  // the lanes together, as FNV-1a folds bytes
    for (int i = 0; i < 16; i++) {
        a[i] += word[i];
        b[i] += a[i];
        sum = (sum ^ a[i]) * 1099511628211u;
        sum = (sum ^ b[i]) * 1099511628211u;
    }
    return sum;
}

uint64_t n_chunks(uint64_t size) { return (size + CHUNK - 1) / CHUNK; }

std::vector<uint64_t> sums_of(const void * image, uint64_t size) {
    std::vector<uint64_t> sums(n_chunks(size));
    sotto_in_parallel(int64_t(sums.size()), [&](int64_t i) {
        const uint64_t begin = uint64_t(i) * CHUNK;
        sums[i] = sum_of((const char *) image + begin, std::min(CHUNK, size - begin));
    });
    return sums;
}

template <typename T> void put(std::string & to, T value) { to.append((const char *) &value, sizeof(value)); }

// Reads what put wrote; `ok` goes false at the end of the data.
struct reader {
    const char * at;
    const char * end;
    bool ok = true;

    template <typename T> T get() {
        T value{};
        if (size_t(end - at) < sizeof(value)) {
            ok = false;
            return value;
        }
        memcpy(&value, at, sizeof(value));
        at += sizeof(value);
        return value;
    }
};

}  // namespace

bool sotto_packed_file::entry::operator==(const entry & other) const {
    return name == other.name && offset == other.offset && size == other.size && type == other.type &&
           std::equal(ne, ne + 4, other.ne);
}

std::string sotto_packed_file::tail(const std::vector<uint64_t> & sums) const {
    std::string bytes;
    for (uint64_t sum : sums) {
        put(bytes, sum);
    }
    for (const entry & e : entries_) {
        put(bytes, e.offset);
        put(bytes, e.size);
        for (int64_t n : e.ne) {
            put(bytes, n);
        }
        put(bytes, e.type);
        put(bytes, uint32_t(e.name.size()));
        bytes += e.name;
    }
    return bytes;
}

#ifdef _WIN32

sotto_packed_file::~sotto_packed_file() = default;

sotto_packed_file::sotto_packed_file(const std::string & path, bool bring) : path_(path), bring_(bring) {}

bool sotto_packed_file::open(size_t, std::string & reason) {
    reason = "this system's file mappings are not used yet";
    return false;
}

bool sotto_packed_file::holds(const ggml_tensor *, size_t) { return false; }
void sotto_packed_file::write(void *, const void *, size_t) {}
bool sotto_packed_file::finish(std::string &) { return true; }

#else

namespace {

// pread or pwrite until all of it is done.
template <typename Transfer, typename Byte> bool whole(Transfer transfer, int fd, Byte * at, size_t size, uint64_t offset) {
    while (size > 0) {
        const ssize_t n = transfer(fd, at, size, off_t(offset));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= size_t(n);
        offset += uint64_t(n);
    }
    return true;
}

bool read_all(int fd, void * data, size_t size, uint64_t offset) { return whole(pread, fd, (char *) data, size, offset); }
bool write_all(int fd, const void * data, size_t size, uint64_t offset) { return whole(pwrite, fd, (const char *) data, size, offset); }

// What a check of all sums found whole. Whoever writes to a file, renames or replaces it by the means of a system changes its change time,
// which nobody can set, or its inode. What is found whole stays so as long as they stay the same: in this boot, since after a crash of the
// system pages may be missing that the file had. What no system notices, a disk that forgets, is found by the first load of the next boot;
// the model's own file has no sums at all. Nor do the sums stop an attacker who can write here: these are not made to.
struct record {
    uint64_t dev, ino, size, tail_sum;
    int64_t mtime[2], ctime[2];
    char boot[40];
    uint64_t sum;  // of what stands before it

    bool operator==(const record & other) const { return memcmp(this, &other, sizeof(record)) == 0; }
};

#ifdef __APPLE__
const timespec & mtime_of(const struct stat & about) { return about.st_mtimespec; }
const timespec & ctime_of(const struct stat & about) { return about.st_ctimespec; }
#else
const timespec & mtime_of(const struct stat & about) { return about.st_mtim; }
const timespec & ctime_of(const struct stat & about) { return about.st_ctim; }
#endif

record record_of(const struct stat & about, uint64_t tail_sum) {
    record r;
    memset(&r, 0, sizeof(r));
    const timespec m = mtime_of(about), c = ctime_of(about);
    r.dev = uint64_t(about.st_dev);
    r.ino = uint64_t(about.st_ino);
    r.size = uint64_t(about.st_size);
    r.tail_sum = tail_sum;
    r.mtime[0] = m.tv_sec, r.mtime[1] = m.tv_nsec;
    r.ctime[0] = c.tv_sec, r.ctime[1] = c.tv_nsec;
    const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (!read_all(fd, r.boot, 36, 0)) {
            r.boot[0] = 0;
        }
        close(fd);
    }
    r.sum = sum_of(&r, offsetof(record, sum));
    return r;
}

// The file that remembers it, beside the packed one. Its own time says when that was last used: the packed file's stays what it is.
class memory {
    int fd;

  public:
    explicit memory(const std::string & path) : fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
        if (fd >= 0) {
            futimens(fd, nullptr);
        }
    }
    ~memory() {
        if (fd >= 0) {
            close(fd);
        }
    }
    memory(const memory &) = delete;
    memory & operator=(const memory &) = delete;

    bool holds(const record & wanted) const {
        record r;
        return fd >= 0 && wanted.boot[0] && read_all(fd, &r, sizeof(r), 0) && r == wanted;
    }

    // Before a check. False: the packed file changed so lately, by this file system's clock, that the next change might leave it the same time.
    bool begin(const struct stat & packed) {
        struct stat now;
        return fd >= 0 && ftruncate(fd, 0) == 0 && futimens(fd, nullptr) == 0 && fstat(fd, &now) == 0 &&
               mtime_of(now).tv_sec - ctime_of(packed).tv_sec >= 3;
    }

    void keep(const record & whole) {
        if (whole.boot[0]) {
            write_all(fd, &whole, sizeof(whole), 0);
        }
    }
};

// The first token reads all of it: its pages are here by then, and in this process's tables.
void bring(void * image, size_t size) {
#ifdef __linux__
#ifndef MADV_POPULATE_READ
    constexpr int MADV_POPULATE_READ = 22;  // Linux 5.14
#endif
    constexpr size_t PIECE = 8 << 20;  // others want to change the address space too
    for (size_t at = 0; at < size; at += PIECE) {
        if (madvise((char *) image + at, std::min(PIECE, size - at), MADV_POPULATE_READ) != 0) {
            break;
        }
    }
#else
    madvise(image, size, MADV_WILLNEED);
#endif
}

std::string because(const char * what) { return std::string(what) + ": " + strerror(errno); }

}  // namespace

sotto_packed_file::sotto_packed_file(const std::string & path, bool bring) : path_(path), bring_(bring) {
    try {
        reading_ = std::async(std::launch::async, [this] { return read(); });
    } catch (const std::system_error &) {  // no thread to be had
        reading_ = std::async(std::launch::deferred, [this] { return read(); });
    }
}

sotto_packed_file::~sotto_packed_file() {
    if (reading_.valid()) {
        reading_.wait();
    }
    unmap();
    if (!temporary_.empty()) {
        unlink(temporary_.c_str());
    }
    if (fd_ >= 0) {
        close(fd_);
    }
}

void sotto_packed_file::unmap() {
    if (image_) {
        munmap(image_, size_);
    }
    image_ = nullptr;
    entries_.clear();
    complete_ = false;
}

bool sotto_packed_file::open(size_t size, std::string & reason) {
    const char * wrong = reading_.get();
    if (!wrong && size_ == size) {
        return true;
    }
    if (!wrong || *wrong) {
        GGML_LOG_WARN("%s %s: packing again\n", path_.c_str(), wrong ? wrong : "is of another model");
    }
    unmap();
    size_ = size;
    return make(reason);
}

const char * sotto_packed_file::read() {
    struct opened {
        int fd;
        ~opened() {
            if (fd >= 0) {
                close(fd);
            }
        }
    } const file{ ::open(path_.c_str(), O_RDONLY | O_CLOEXEC) };
    struct stat about;
    header h;
    if (file.fd < 0) {
        return "";
    }
    if (fstat(file.fd, &about) != 0 || !read_all(file.fd, &h, sizeof(h), 0) || memcmp(h.magic, MAGIC, sizeof(MAGIC)) != 0 ||
        h.sum != sum_of(&h, offsetof(header, sum)) || h.layout != SOTTO_LAYOUT) {
        return "is not a packed file of this version";
    }
    if (h.image_size == 0 || h.tail_size > MOST_TAIL || uint64_t(about.st_size) != IMAGE + h.image_size + h.tail_size) {
        return "is cut short";
    }
    std::string bytes(h.tail_size, '\0');
    if (!read_all(file.fd, &bytes[0], bytes.size(), IMAGE + h.image_size) || sum_of(bytes.data(), bytes.size()) != h.tail_sum) {
        return "is damaged";
    }
    reader in{ bytes.data(), bytes.data() + bytes.size() };
    std::vector<uint64_t> sums(n_chunks(h.image_size));
    for (uint64_t & sum : sums) {
        sum = in.get<uint64_t>();
    }
    for (uint32_t i = 0; i < h.n_tensors && in.ok; i++) {
        entry e;
        e.offset = in.get<uint64_t>();
        e.size = in.get<uint64_t>();
        for (int64_t & n : e.ne) {
            n = in.get<int64_t>();
        }
        e.type = in.get<int32_t>();
        const uint32_t length = in.get<uint32_t>();
        in.ok = in.ok && length <= size_t(in.end - in.at);
        if (in.ok) {
            e.name.assign(in.at, length);
            in.at += length;
            entries_.push_back(e);
        }
    }
    // Private, so that what does not fit the model after all can be packed over it (see holds).
    void * image = in.ok ? mmap(nullptr, h.image_size, PROT_READ, MAP_PRIVATE, file.fd, off_t(IMAGE)) : MAP_FAILED;
    if (image == MAP_FAILED) {
        return "cannot be mapped";
    }
    image_ = image;
    size_ = h.image_size;
    memory of(path_ + ".checked");
    const record known = record_of(about, h.tail_sum);
    if (of.holds(known)) {
        if (bring_) {
            bring(image_, size_);
        }
    } else {
        const bool settled = of.begin(about);
        if (sums_of(image_, size_) != sums) {
            return "is damaged";
        }
        struct stat after;
        if (settled && fstat(file.fd, &after) == 0 && record_of(after, h.tail_sum) == known) {
            of.keep(known);
        }
    }
    complete_ = true;
    return nullptr;
}

bool sotto_packed_file::make(std::string & reason) {
    static std::atomic<int> made{ 0 };
    const std::string temporary = path_ + "." + std::to_string(getpid()) + "-" + std::to_string(made++) + ".partial";
    fd_ = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd_ < 0) {
        reason = because(temporary.c_str());
        return false;
    }
    temporary_ = temporary;
    // All of it now: a full disk would otherwise be a bus error while packing.
    const int error = posix_fallocate(fd_, 0, off_t(IMAGE + size_));
    if (error != 0) {
        errno = error;
        reason = because(temporary.c_str());
        return false;
    }
    void * image = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, off_t(IMAGE));
    if (image == MAP_FAILED) {
        reason = because("mmap");
        return false;
    }
    image_ = image;
    return true;
}

bool sotto_packed_file::holds(const ggml_tensor * tensor, size_t size) {
    entry wanted;
    wanted.name = tensor->name;
    wanted.offset = uint64_t((const char *) tensor->data - (const char *) image_);
    wanted.size = size;
    std::copy(tensor->ne, tensor->ne + 4, wanted.ne);
    wanted.type = tensor->type;
    if (complete_) {
        if (std::find(entries_.begin(), entries_.end(), wanted) != entries_.end()) {
            return true;
        }
        mprotect(image_, size_, PROT_READ | PROT_WRITE);
        unlink(path_.c_str());
        unlink((path_ + ".checked").c_str());
        return false;
    }
    entries_.push_back(wanted);
    return false;
}

// A page that is written through the mapping costs a fault of its own and the file system's account of it: several times the copy.
void sotto_packed_file::write(void * to, const void * bytes, size_t size) {
    if (fd_ < 0 || !write_all(fd_, bytes, size, IMAGE + uint64_t((char *) to - (char *) image_))) {
        memcpy(to, bytes, size);
    }
}

bool sotto_packed_file::finish(std::string & reason) {
    if (complete_ || temporary_.empty()) {
        return true;
    }
    const std::string bytes = tail(sums_of(image_, size_));
    header h = {};
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    h.layout = SOTTO_LAYOUT;
    h.n_tensors = uint32_t(entries_.size());
    h.image_size = size_;
    h.tail_size = bytes.size();
    h.tail_sum = sum_of(bytes.data(), bytes.size());
    h.sum = sum_of(&h, offsetof(header, sum));
    // No sync: after a power cut the sums say what of it came to the disk.
    if (!write_all(fd_, bytes.data(), bytes.size(), IMAGE + size_) || !write_all(fd_, &h, sizeof(h), 0) ||
        rename(temporary_.c_str(), path_.c_str()) != 0) {
        reason = because(temporary_.c_str());
        return false;  // the destructor removes it
    }
    temporary_.clear();
    close(fd_);
    fd_ = -1;
    mprotect(image_, size_, PROT_READ);
    complete_ = true;
    return true;
}

#endif
