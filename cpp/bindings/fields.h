// Reads keyword arguments into the fields of a struct, with errors that name the field and the value
// (pybind11's own say only that no overload fits).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>

#include "core/params.h"

namespace llamad {

// Takes one argument after the other out of `arguments`; what is left over is unknown.
// Every method throws ParameterError.
class FieldReader {
  public:
    explicit FieldReader(const pybind11::kwargs &arguments);

    // Leaves the value as it is where the argument is absent.
    void read(const char *name, bool &value);
    void read(const char *name, std::int32_t &value);
    void read(const char *name, float &value);
    void read(const char *name, std::string &value);
    void read(const char *name, std::vector<float> &value);
    void read(const char *name, std::vector<std::string> &value);
    void read(const char *name, std::vector<std::pair<std::int32_t, float>> &value);
    void read(const char *name, std::vector<LoraAdapter> &value);
    // None means no value.
    void read(const char *name, std::optional<std::int32_t> &value);
    void read(const char *name, std::optional<std::int64_t> &value);
    // "auto" means no value.
    void read_or_auto(const char *name, std::optional<std::int32_t> &value);

    // To be called last: an argument that nobody has read has an unknown name.
    void require_all_read() const;

  private:
    std::optional<pybind11::object> take(const char *name);

    pybind11::dict arguments_;
    std::string known_; // names that were asked for, with commas between them
};

} // namespace llamad
