// Sums of exponentials and divergences against double precision, and against what they must be.
#include "engine/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace sotto {
namespace {

double LogSumExact(const std::vector<float>& row) {
  double largest = row[0], sum = 0;
  for (const float logit : row) largest = std::max(largest, double(logit));
  for (const float logit : row) sum += std::exp(double(logit) - largest);
  return largest + std::log(sum);
}

std::vector<float> RandomRow(int count, float spread, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row;
  for (int i = 0; i < count; ++i) row.push_back(normal(random));
  return row;
}

float Largest(const std::vector<float>& row) { return row[size_t(LargestOf(row.data(), int32_t(row.size())))]; }

Divergence Between(const std::vector<float>& p, const std::vector<float>& q) {
  return DivergenceOf({p.data(), q.data(), Largest(p), Largest(q)}, int32_t(p.size()));
}

TEST(LogitsTest, TheLogarithmOfASumOfExponentialsIsThatOfDoublePrecision) {
  for (const int count : {1, 15, 16, 17, 511, 512, 513, 49152}) {
    for (const float spread : {0.0f, 0.1f, 3.0f, 60.0f}) {
      const std::vector<float> row = RandomRow(count, spread, unsigned(count));
      EXPECT_NEAR(LogSumExp(row.data(), count, Largest(row)), LogSumExact(row), 1e-6) << count << " " << spread;
    }
  }
}

TEST(LogitsTest, DivergenceIsThatOfDoublePrecision) {
  for (const int count : {1, 17, 512, 49152}) {
    for (const float noise : {1e-3f, 0.1f, 2.0f}) {
      const std::vector<float> p = RandomRow(count, 4, 1);
      std::vector<float> q = RandomRow(count, noise, 2);
      for (size_t i = 0; i < q.size(); ++i) q[i] += p[i];
      const double log_p = LogSumExact(p), log_q = LogSumExact(q);
      double exact = 0;
      for (size_t i = 0; i < p.size(); ++i)
        exact += std::exp(double(p[i]) - log_p) * ((double(p[i]) - log_p) - (double(q[i]) - log_q));
      const Divergence found = Between(p, q);
      EXPECT_NEAR(found.kl, exact, 1e-7 + 1e-5 * exact) << count << " " << noise;
      EXPECT_NEAR(found.log_sum_p, log_p, 1e-6);
      EXPECT_NEAR(found.log_sum_q, log_q, 1e-6);
    }
  }
}

TEST(LogitsTest, ARowDoesNotDivergeFromItselfNorFromItselfShifted) {
  const std::vector<float> p = RandomRow(1000, 5, 3);
  std::vector<float> q = p;
  EXPECT_EQ(Between(p, q).kl, 0);
  for (float& logit : q) logit += 8;
  EXPECT_NEAR(Between(p, q).kl, 0, 1e-6);
}

TEST(LogitsTest, WhatIsImpossibleForBothAddsNothing) {
  std::vector<float> p = RandomRow(100, 3, 4), q = RandomRow(100, 3, 5);
  const double without = Between(p, q).kl;
  p.resize(150, kNever);
  q.resize(150, kNever);
  EXPECT_NEAR(Between(p, q).kl, without, 1e-6);
}

}  // namespace
}  // namespace sotto
