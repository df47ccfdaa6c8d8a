// schema-limits.h: what a JSON schema may ask of upstream's common/json-schema-to-grammar, which recurses along nesting, references
// and rule names, copies a schema for each of its types, and ignores limits that it cannot express.
#pragma once

#include <string>

namespace sotto {

// The schema, ready for upstream: patterns that upstream could only warn about are left out. Throws Error(kSchemaInvalid).
std::string CheckedSchema(const std::string& json_schema);

}  // namespace sotto
