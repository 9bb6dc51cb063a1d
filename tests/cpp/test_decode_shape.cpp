#include "check.h"

#include "core/decode_shape.h"

using namespace llamad;

TEST("one alone is not padded, wherever it is") {
    for (const std::size_t slot : {0U, 3U, 15U}) {
        CHECK(padded({slot, slot + 1}, 1, 16) == SlotRange(slot, slot + 1));
    }
}

TEST("several are padded to a power of two from the first slot on") {
    CHECK(padded({0, 2}, 2, 16) == SlotRange(0, 2));
    CHECK(padded({0, 3}, 3, 16) == SlotRange(0, 4));
    CHECK(padded({1, 6}, 4, 16) == SlotRange(0, 8));
    CHECK(padded({0, 9}, 9, 16) == SlotRange(0, 16));
}

TEST("there are no more rows than slots") { CHECK(padded({0, 9}, 9, 12) == SlotRange(0, 12)); }

TEST("a batch is at most doubled: else only its gaps are filled, and where that is too much, nothing") {
    CHECK(padded({0, 5}, 4, 16) == SlotRange(0, 8));
    CHECK(padded({0, 5}, 3, 16) == SlotRange(0, 5));
    CHECK(padded({12, 15}, 2, 16) == SlotRange(12, 15));
    CHECK(padded({3, 12}, 2, 16) == SlotRange(3, 3));
}

TEST("padding costs no room and makes nobody else look at more cells") {
    CHECK(takes_padding(0, 1, 2048));
    CHECK(takes_padding(256 - kMostPadding, 100, 2048));
    CHECK(!takes_padding(256 - kMostPadding + 1, 256, 2048));
    CHECK(takes_padding(256 - kMostPadding + 1, 257, 2048));
    CHECK(takes_padding(68, 99, 100));
    CHECK(!takes_padding(69, 100, 100)); // its stream has no room for that
}
