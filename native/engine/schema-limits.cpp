#include "engine/schema-limits.h"

#include <json.h>

#include <cstdint>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "engine/json-shape.h"

namespace sotto {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kDeepestSchema = 64;
constexpr size_t kDeepestWithReferences = 256;
constexpr uint64_t kMostParts = 20'000;
constexpr size_t kMostReferences = 512;
constexpr size_t kLongestReference = 512;
constexpr size_t kMostOptional = 256;  // upstream's time grows with the cube of it
constexpr size_t kLongestPattern = 512;
constexpr size_t kMostPatterns = 128;  // upstream copies all rules for each
constexpr size_t kLongestPath = 4096;  // bytes of property names: upstream's regular expressions recurse along them
constexpr int64_t kMostRepetitions = 2000;

[[noreturn]] void Refuse(const std::string& why) { throw Error(ErrorCode::kSchemaInvalid, why); }

class Limits {
 public:
  explicit Limits(common_json& root) : root_(root) {}

  struct Place {
    size_t depth = 0;
    size_t path = 0;      // bytes of the names on the way
    uint64_t copies = 1;  // that upstream makes of this part
  };

  void Check(common_json& schema, Place place) {
    if (!schema.is_object()) return;  // upstream says what it expects
    if (++place.depth > kDeepestWithReferences)
      Refuse("Expected a JSON schema nested at most 256 deep, references included");
    if (place.path > kLongestPath)
      Refuse("Expected shorter property names in the JSON schema: 4096 bytes along each path");
    Count(place.copies);
    if (schema.contains("$ref")) return CheckReference(schema.at("$ref"), place);
    if (schema.contains("type") && schema.at("type").is_array()) {
      if (schema.at("type").size() > 7) Refuse("Expected at most 7 types in the JSON schema's type");
      place.copies *= std::max<uint64_t>(schema.at("type").size(), 1);
      Count(place.copies);
    }
    for (const char* key : {"minItems", "maxItems", "minLength", "maxLength"}) {
      if (!schema.contains(key)) continue;
      const common_json& value = schema.at(key);
      const bool good =
          value.is_number_integer() && value.get<long long>() >= 0 && value.get<long long>() <= kMostRepetitions;
      if (!good) {
        Refuse(std::string("Expected ") + key + " of the JSON schema to be an integer from 0 to " +
               std::to_string(kMostRepetitions) + ", received " + value.dump_safe().substr(0, 40));
      }
    }
    CheckBounds(schema);
    CheckPattern(schema);
    if (schema.contains("enum") && schema.at("enum").is_array()) Count(place.copies * schema.at("enum").size());
    for (const char* key : {"oneOf", "anyOf", "allOf", "prefixItems", "items"}) {
      if (schema.contains(key)) CheckEach(schema.at(key), place);
    }
    if (schema.contains("allOf")) CheckOptional(OptionalInAllOf(schema.at("allOf")));
    if (schema.contains("additionalProperties")) Check(schema.at("additionalProperties"), place);
    if (schema.contains("properties") && schema.at("properties").is_object()) CheckProperties(schema, place);
  }

 private:
  void Count(uint64_t parts) {
    parts_ += parts;
    if (parts_ > kMostParts) Refuse("Expected a JSON schema of at most " + std::to_string(kMostParts) + " parts");
  }

  void CheckEach(common_json& schemas, const Place& place) {
    if (!schemas.is_array()) return Check(schemas, place);
    for (size_t i = 0; i < schemas.size(); ++i) Check(schemas.at(i), {place.depth, place.path + 12, place.copies});
  }

  void CheckProperties(common_json& schema, const Place& place) {
    const common_json& properties = schema.at("properties");
    const size_t required =
        schema.contains("required") && schema.at("required").is_array() ? schema.at("required").size() : 0;
    CheckOptional(properties.size() > required ? properties.size() - required : 0);
    for (const auto& [name, property] : properties.items())
      Check(property, {place.depth, place.path + name.size() + 1, place.copies});
  }

  static void CheckOptional(size_t count) {
    if (count <= kMostOptional) return;
    Refuse("Expected at most " + std::to_string(kMostOptional) +
           " optional properties in an object of the JSON schema, received " + std::to_string(count) +
           ": name the others in required");
  }

  // Properties that allOf takes out of its alternatives become optional ones of a single object.
  size_t OptionalInAllOf(const common_json& schemas) const {
    size_t count = 0;
    if (!schemas.is_array()) return count;
    for (size_t i = 0; i < schemas.size(); ++i) {
      for (const char* key : {"anyOf", "oneOf"}) {
        if (!schemas.at(i).is_object() || !schemas.at(i).contains(key) || !schemas.at(i).at(key).is_array()) continue;
        const common_json& alternatives = schemas.at(i).at(key);
        for (size_t j = 0; j < alternatives.size(); ++j) {
          const common_json& alternative = Followed(alternatives.at(j));
          if (alternative.is_object() && alternative.contains("properties"))
            count += alternative.at("properties").size();
        }
      }
    }
    return count;
  }

  // Whole numbers that fit: upstream negates them.
  static void CheckBounds(const common_json& schema) {
    for (const char* key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      if (!schema.contains(key) || !schema.at(key).is_number()) continue;
      const double value = schema.at(key).get<double>();
      if (!(value > -9e18 && value < 9e18))
        Refuse(std::string("Expected ") + key + " of the JSON schema to be within ±9e18");
    }
  }

  // Upstream turns a pattern into a grammar only when it covers the whole string, and otherwise prints a warning.
  void CheckPattern(common_json& schema) {
    if (!schema.contains("pattern") || !schema.at("pattern").is_string()) return;
    const std::string pattern = schema.at("pattern").get<std::string>();
    if (pattern.size() > kLongestPattern) {
      Refuse("Expected patterns of at most " + std::to_string(kLongestPattern) + " bytes in the JSON schema");
    }
    if (pattern.size() >= 2 && pattern.front() == '^' && pattern.back() == '$') {
      if (++patterns_ > kMostPatterns)
        Refuse("Expected at most " + std::to_string(kMostPatterns) + " patterns in the JSON schema");
      return;
    }
    Log(LogLevel::kWarn, "a JSON schema's pattern without ^ and $ is not enforced: " + pattern);
    schema.erase("pattern");
    if (!schema.contains("type")) schema.set({"type", "string"});
  }

  void CheckReference(const common_json& value, const Place& place) {
    if (!value.is_string()) Refuse("Expected $ref of the JSON schema to be a string");
    const std::string reference = value.get<std::string>();
    if (!reference.starts_with("#/")) {
      Refuse("Expected $ref of the JSON schema to begin with #/ (nothing is fetched), received " +
             reference.substr(0, 80));
    }
    if (reference.size() > kLongestReference) Refuse("Expected $ref of the JSON schema to be shorter");
    if (!references_.insert(reference).second) return;  // upstream builds each once
    if (references_.size() > kMostReferences)
      Refuse("Expected at most " + std::to_string(kMostReferences) + " different $ref in the JSON schema");
    Followed(Resolve(reference));
    Check(Resolve(reference), {place.depth, reference.size(), 1});
  }

  // What a chain of references ends at. Upstream follows it without noticing a circle.
  const common_json& Followed(const common_json& schema) const {
    const common_json* at = &schema;
    for (size_t i = 0; at->is_object() && at->contains("$ref") && at->at("$ref").is_string(); ++i) {
      const std::string reference = at->at("$ref").get<std::string>();
      if (i > kMostReferences)
        Refuse("The $ref " + reference.substr(0, 80) + " of the JSON schema leads back to itself");
      if (!reference.starts_with("#/")) break;
      at = &Resolve(reference);
    }
    return *at;
  }

  common_json& Resolve(const std::string& reference) const {
    common_json* at = &root_;
    size_t start = 2;
    while (start <= reference.size()) {
      const size_t end = std::min(reference.find('/', start), reference.size());
      const std::string step = reference.substr(start, end - start);
      start = end + 1;
      if (at->is_object() && at->contains(step)) {
        at = &at->at(step);
        continue;
      }
      const bool number = !step.empty() && step.size() < 7 && step.find_first_not_of("0123456789") == std::string::npos;
      if (!at->is_array() || !number || std::stoul(step) >= at->size()) {
        Refuse("The $ref " + reference.substr(0, 80) + " of the JSON schema leads nowhere");
      }
      at = &at->at(std::stoul(step));
    }
    return *at;
  }

  common_json& root_;
  uint64_t parts_ = 0;
  size_t patterns_ = 0;
  std::set<std::string> references_;
};

}  // namespace

std::string CheckedSchema(const std::string& json_schema) {
  if (json_schema.size() > kMostBytes)
    Refuse("Expected a JSON schema of at most 1 MiB, received " + std::to_string(json_schema.size()) + " bytes");
  const JsonShape shape = ShapeOfJson(json_schema);
  if (shape.depth > kDeepestSchema) Refuse("Expected a JSON schema nested at most 64 deep: use $defs and $ref");
  if (shape.width > kWidestJsonObject) Refuse("Expected objects of at most 4096 members in the JSON schema");
  try {
    common_json schema = common_json::parse(json_schema);
    if (!schema.is_object())
      Refuse("Expected a JSON schema to be an object, received " + schema.dump_safe().substr(0, 40));
    Limits(schema).Check(schema, {});
    return schema.dump();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& exception) {
    Refuse(std::string("Expected a JSON schema: ") + exception.what());
  }
}

}  // namespace sotto
