// Looks at a model file before llama.cpp does, to say plainly what is wrong with it.
#pragma once

#include <string>
#include <vector>

namespace llamad {

// The parts of a split model whose first part is `path` (name-00001-of-00003.gguf), in order; just
// `path` for any other name.
std::vector<std::string> model_file_parts(const std::string &path);

// Reads the headers of the model's files and checks that every tensor lies within its file. Reads no
// tensor data.
// Throws ModelNotFoundError, InvalidModelError or TruncatedModelError.
void check_model_file(const std::string &path);

} // namespace llamad
