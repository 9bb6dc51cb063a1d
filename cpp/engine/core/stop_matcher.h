// Ends a generation at a stop string and keeps every part of it out of the output.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llamad {

// Text that might be the beginning of a stop string is held back until the next token decides, so a
// stop string never leaks, however it is spread over tokens.
class StopMatcher {
  public:
    // `stops`: none empty.
    explicit StopMatcher(std::vector<std::string> stops);

    // Appends to `out` what of `text`, and of the text held back before, may be shown. After a match,
    // that is what stood before the stop string; call no more then. Of several stop strings in the
    // text the one that begins first wins, and of those the longest.
    // Returns the index of the stop string found.
    std::optional<std::size_t> push(std::string_view text, std::string &out);

    // Appends what is held back: the generation ended without the rest of a stop string.
    void flush(std::string &out);

    const std::string &stop(std::size_t index) const { return stops_[index]; }

  private:
    std::size_t longest_possible_beginning() const;

    std::vector<std::string> stops_;
    std::string held_;
};

} // namespace llamad
