// Bytes of tokens in, whole UTF-8 characters out.
#pragma once

#include <string>
#include <string_view>

namespace llamad {

// A character may be spread over several tokens; its bytes are held back until it is complete.
// Bytes that can never become a character turn into U+FFFD, one per maximal ill-formed part (Unicode
// 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"), so that the output is always UTF-8.
class Detokenizer {
  public:
    // Appends what has become complete to `out`.
    void push(std::string_view bytes, std::string &out);

    // Appends U+FFFD if an incomplete character is held back, and forgets it.
    void flush(std::string &out);

  private:
    std::string held_; // the 0 to 3 bytes of an incomplete character
};

} // namespace llamad
