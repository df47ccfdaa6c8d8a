// map-on-demand.h: included before llama-mmap.cpp, which asks for every page of a model file when it maps it. Most of a model is then read by
// nobody: packed weights come from their own file, and of the embedding a token needs one row. MADV_WILLNEED still brings
// the file from the disk ahead of its readers.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#undef MAP_POPULATE
#define MAP_POPULATE 0
#endif
