// Every exception that the engine throws, drawn as one tree. Python has the same tree under the same
// names (python/llamad/errors.py); the bindings map one to the other.
//
//   Error
//   ├── ModelError: ModelNotFoundError, InvalidModelError ← TruncatedModelError, ModelLoadError
//   ├── RequestError: ParameterError, ContextLengthError, TemplateError, GrammarError
//   ├── QuantizationError
//   ├── QueueFullError
//   └── EngineClosedError
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace llamad {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct ModelError : Error {
    using Error::Error;
};
struct ModelNotFoundError : ModelError {
    using ModelError::ModelError;
};
struct InvalidModelError : ModelError {
    using ModelError::ModelError;
};
struct TruncatedModelError : InvalidModelError {
    using InvalidModelError::InvalidModelError;
};
struct ModelLoadError : ModelError {
    using ModelError::ModelError;
};

// `param` names the offending parameter; empty where no single one is to blame.
struct RequestError : Error {
    RequestError(std::string name, const std::string &message) : Error(message), param(std::move(name)) {}
    std::string param;
};
struct ParameterError : RequestError {
    using RequestError::RequestError;
};
struct ContextLengthError : RequestError {
    using RequestError::RequestError;
};
struct TemplateError : RequestError {
    using RequestError::RequestError;
};
struct GrammarError : RequestError {
    using RequestError::RequestError;
};

struct QuantizationError : Error {
    using Error::Error;
};
struct QueueFullError : Error {
    using Error::Error;
};
struct EngineClosedError : Error {
    using Error::Error;
};

} // namespace llamad
