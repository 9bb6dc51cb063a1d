#include "fields.h"

#include <limits>

#include "core/errors.h"

namespace py = pybind11;

namespace llamad {

namespace {

[[noreturn]] void reject(const char *name, const py::handle &value, const std::string &expected) {
    throw ParameterError(name, std::string(name) + " must be " + expected + ", got " +
                                   std::string(py::repr(value)));
}

std::int64_t to_integer(const char *name, const py::handle &value, std::int64_t low, std::int64_t high) {
    if (!py::isinstance<py::int_>(value) || py::isinstance<py::bool_>(value)) {
        reject(name, value, "an integer");
    }
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow != 0 || number < low || number > high) {
        reject(name, value, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return number;
}

std::int32_t to_int32(const char *name, const py::handle &value) {
    return static_cast<std::int32_t>(to_integer(name, value, std::numeric_limits<std::int32_t>::min(),
                                                std::numeric_limits<std::int32_t>::max()));
}

float to_float(const char *name, const py::handle &value) {
    const bool is_integer = py::isinstance<py::int_>(value) && !py::isinstance<py::bool_>(value);
    if (!is_integer && !py::isinstance<py::float_>(value)) {
        reject(name, value, "a number");
    }
    const double number = PyFloat_AsDouble(value.ptr());
    if (PyErr_Occurred() != nullptr) { // an integer beyond every double
        PyErr_Clear();
        reject(name, value, "a number");
    }
    return static_cast<float>(number);
}

std::string to_string(const char *name, const py::handle &value) {
    if (!py::isinstance<py::str>(value)) {
        reject(name, value, "a string");
    }
    Py_ssize_t length = 0;
    const char *text = PyUnicode_AsUTF8AndSize(value.ptr(), &length);
    if (text == nullptr) { // a lone surrogate
        PyErr_Clear();
        reject(name, value, "a string of valid Unicode");
    }
    return {text, static_cast<std::size_t>(length)};
}

py::sequence to_sequence(const char *name, const py::handle &value, const char *expected) {
    if (!py::isinstance<py::sequence>(value) || py::isinstance<py::str>(value)) {
        reject(name, value, expected);
    }
    return py::reinterpret_borrow<py::sequence>(value);
}

} // namespace

FieldReader::FieldReader(const py::kwargs &arguments)
    : arguments_(py::reinterpret_steal<py::dict>(PyDict_Copy(arguments.ptr()))) {}

std::optional<py::object> FieldReader::take(const char *name) {
    known_.append(known_.empty() ? "" : ", ").append(name);
    if (!arguments_.contains(name)) {
        return std::nullopt;
    }
    return arguments_.attr("pop")(name);
}

void FieldReader::read(const char *name, bool &value) {
    if (const auto given = take(name)) {
        if (!py::isinstance<py::bool_>(*given)) {
            reject(name, *given, "True or False");
        }
        value = given->cast<bool>();
    }
}

void FieldReader::read(const char *name, std::int32_t &value) {
    if (const auto given = take(name)) {
        value = to_int32(name, *given);
    }
}

void FieldReader::read(const char *name, float &value) {
    if (const auto given = take(name)) {
        value = to_float(name, *given);
    }
}

void FieldReader::read(const char *name, std::string &value) {
    if (const auto given = take(name)) {
        value = to_string(name, *given);
    }
}

void FieldReader::read(const char *name, std::vector<float> &value) {
    if (const auto given = take(name)) {
        value.clear();
        for (const py::handle item : to_sequence(name, *given, "a list of numbers")) {
            value.push_back(to_float(name, item));
        }
    }
}

void FieldReader::read(const char *name, std::vector<std::string> &value) {
    if (const auto given = take(name)) {
        value.clear();
        for (const py::handle item : to_sequence(name, *given, "a list of strings")) {
            value.push_back(to_string(name, item));
        }
    }
}

void FieldReader::read(const char *name, std::vector<std::pair<std::int32_t, float>> &value) {
    if (const auto given = take(name)) {
        value.clear();
        const char *expected = "a mapping from token ids to numbers";
        for (const py::handle item : to_sequence(name, *given, expected)) {
            const py::sequence pair = to_sequence(name, item, expected);
            if (pair.size() != 2) {
                reject(name, item, expected);
            }
            value.emplace_back(to_int32(name, py::object(pair[0])), to_float(name, py::object(pair[1])));
        }
    }
}

void FieldReader::read(const char *name, std::vector<LoraAdapter> &value) {
    if (const auto given = take(name)) {
        value.clear();
        const char *expected = "a list of pairs of a path and a scale";
        for (const py::handle item : to_sequence(name, *given, expected)) {
            const py::sequence pair = to_sequence(name, item, expected);
            if (pair.size() != 2) {
                reject(name, item, expected);
            }
            value.push_back(
                {.path = to_string(name, py::object(pair[0])), .scale = to_float(name, py::object(pair[1]))});
        }
    }
}

void FieldReader::read(const char *name, std::optional<std::int32_t> &value) {
    if (const auto given = take(name)) {
        value = given->is_none() ? std::nullopt : std::optional(to_int32(name, *given));
    }
}

void FieldReader::read(const char *name, std::optional<std::int64_t> &value) {
    if (const auto given = take(name)) {
        value = given->is_none()
                    ? std::nullopt
                    : std::optional(to_integer(name, *given, std::numeric_limits<std::int64_t>::min(),
                                               std::numeric_limits<std::int64_t>::max()));
    }
}

void FieldReader::read_or_auto(const char *name, std::optional<std::int32_t> &value) {
    const auto given = take(name);
    if (!given) {
        return;
    }
    if (!py::isinstance<py::str>(*given)) {
        value = to_int32(name, *given);
    } else if (to_string(name, *given) == "auto") {
        value.reset();
    } else {
        reject(name, *given, "an integer or \"auto\"");
    }
}

void FieldReader::require_all_read() const {
    for (const auto &[name, value] : arguments_) {
        const std::string text = py::str(name);
        throw ParameterError(text, "unknown parameter " + text + "; known are " + known_);
    }
}

} // namespace llamad
