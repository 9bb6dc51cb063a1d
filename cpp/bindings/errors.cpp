// C++ exceptions to their namesakes in llamad.errors.
#include "core/errors.h"

#include <exception>

#include "bindings.h"

namespace py = pybind11;

namespace llamad {

namespace {

py::object exception_class(const char *name) { return py::module_::import("llamad.errors").attr(name); }

void raise(const char *name, const Error &error) {
    const py::object type = exception_class(name);
    PyErr_SetObject(type.ptr(), type(to_str(error.what())).ptr());
}

void raise(const char *name, const RequestError &error) {
    const py::object type = exception_class(name);
    const py::object param = error.param.empty() ? py::object(py::none()) : py::object(to_str(error.param));
    PyErr_SetObject(type.ptr(), type(to_str(error.what()), py::arg("param") = param).ptr());
}

void translate(std::exception_ptr pending) {
    try {
        std::rethrow_exception(std::move(pending));
    } catch (const ModelNotFoundError &error) {
        raise("ModelNotFoundError", error);
    } catch (const TruncatedModelError &error) {
        raise("TruncatedModelError", error);
    } catch (const InvalidModelError &error) {
        raise("InvalidModelError", error);
    } catch (const ModelLoadError &error) {
        raise("ModelLoadError", error);
    } catch (const ParameterError &error) {
        raise("ParameterError", error);
    } catch (const ContextLengthError &error) {
        raise("ContextLengthError", error);
    } catch (const TemplateError &error) {
        raise("TemplateError", error);
    } catch (const GrammarError &error) {
        raise("GrammarError", error);
    } catch (const QuantizationError &error) {
        raise("QuantizationError", error);
    } catch (const QueueFullError &error) {
        raise("QueueFullError", error);
    } catch (const EngineClosedError &error) {
        raise("EngineClosedError", error);
    }
}

} // namespace

void register_errors() { py::register_local_exception_translator(translate); }

} // namespace llamad
