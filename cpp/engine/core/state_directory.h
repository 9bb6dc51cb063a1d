// Where the files of KV states are, and what they are called.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_descriptor.h"
#include "core/stored_prefix.h"

namespace llamad {

// The directory of one identity's states, in one that several models may share. As long as this lives, no
// other process is at work there: that one is told so by is_ours().
class StateDirectory {
  public:
    // Makes what is missing, for the user alone: the files hold what was said.
    // Throws std::system_error where a directory cannot be made or written to.
    StateDirectory(const std::filesystem::path &shared, const std::string &identity);

    // False: another process had it first, and nothing here may be read or written.
    bool is_ours() const { return static_cast<bool>(lock_); }

    const std::filesystem::path &path() const { return path_; }
    std::filesystem::path path_of(EntryId id) const;
    // Where a state is written before it gets its name.
    std::filesystem::path temporary_path_of(EntryId id) const;

    // The states there, the newest first. Removes what a killed process left half written, and what bears the
    // name of a state and is none.
    std::vector<EntryId> tidy() const;

    // What cannot be removed is found at the next start.
    void remove(EntryId id) const;

  private:
    std::filesystem::path path_;
    FileDescriptor lock_;
};

} // namespace llamad
