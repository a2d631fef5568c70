// Loads a world with libsdformat, builds it in DART through ign-physics as Gazebo does, turns the robot's wheels at set speeds
// and prints where the robot is: a line "time_s x_m y_m z_m yaw_rad" each tenth of a second.
//
//   gazebo_check EXPORT/world.sdf LEFT_RADPS RIGHT_RADPS SECONDS

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <glob.h>
#include <iostream>
#include <string>

#include <ignition/physics/ForwardStep.hh>
#include <ignition/physics/FrameSemantics.hh>
#include <ignition/physics/GetEntities.hh>
#include <ignition/physics/Joint.hh>
#include <ignition/physics/Link.hh>
#include <ignition/physics/RequestEngine.hh>
#include <ignition/physics/sdf/ConstructJoint.hh>
#include <ignition/physics/sdf/ConstructLink.hh>
#include <ignition/physics/sdf/ConstructModel.hh>
#include <ignition/physics/sdf/ConstructWorld.hh>
#include <ignition/plugin/Loader.hh>
#include <sdf/Root.hh>
#include <sdf/Physics.hh>
#include <sdf/World.hh>

namespace physics = ignition::physics;

using Features = physics::FeatureList<
    physics::ForwardStep, physics::GetEntities, physics::LinkFrameSemantics, physics::SetJointVelocityCommandFeature,
    physics::sdf::ConstructSdfWorld, physics::sdf::ConstructSdfModel, physics::sdf::ConstructSdfLink, physics::sdf::ConstructSdfJoint>;

namespace
{
constexpr double kPrintEvery_s = 0.1;

std::string engineLibrary()
{
  glob_t found{};
  std::string path;
  if (glob("/usr/lib/*/ign-physics-5/engine-plugins/libignition-physics5-dartsim-plugin.so*", 0, nullptr, &found) == 0)
    path = found.gl_pathv[0];
  globfree(&found);
  return path;
}

int fail(const std::string &why)
{
  std::cerr << "gazebo_check: " << why << std::endl;
  return 2;
}
}  // namespace

int main(int argc, char **argv)
{
  if (argc != 5)
    return fail("usage: gazebo_check WORLD.sdf LEFT_RADPS RIGHT_RADPS SECONDS");
  const double wheels[2] = {std::atof(argv[2]), std::atof(argv[3])};
  const double duration_s = std::atof(argv[4]);

  // libsdformat looks for model://NAME in the working directory first.
  const std::filesystem::path file = std::filesystem::absolute(argv[1]);
  std::error_code no_models;
  std::filesystem::current_path(file.parent_path() / "models", no_models);
  sdf::Root root;
  const sdf::Errors errors = root.Load(file.string());
  for (const auto &error : errors)
    std::cerr << error << std::endl;
  if (!errors.empty() || root.WorldCount() != 1)
    return fail(std::string(argv[1]) + " is no world that libsdformat accepts");
  const sdf::World *description = root.WorldByIndex(0);
  const double step_s = description->PhysicsByIndex(0)->MaxStepSize();

  const std::string library = engineLibrary();
  if (library.empty())
    return fail("libignition-physics5-dartsim-plugin5 is not installed");
  ignition::plugin::Loader loader;
  loader.LoadLib(library);
  const auto plugin = loader.Instantiate("ignition::physics::dartsim::Plugin");
  if (!plugin)
    return fail(library + " holds no dartsim plugin");
  const auto engine = physics::RequestEngine<physics::FeaturePolicy3d, Features>::From(plugin);
  if (!engine)
    return fail("the engine lacks a feature");
  const auto world = engine->ConstructWorld(*description);
  const auto robot = world->GetModel("robot");
  if (!robot)
    return fail("the world holds no model `robot`");
  const auto base = robot->GetLink("base_link");
  physics::Joint3dPtr<Features> joints[2] = {robot->GetJoint("joint_left"), robot->GetJoint("joint_right")};
  if (!base || !joints[0] || !joints[1])
    return fail("the robot lacks base_link, joint_left or joint_right");

  physics::ForwardStep::Input input;
  physics::ForwardStep::State state;
  physics::ForwardStep::Output output;
  input.Get<std::chrono::steady_clock::duration>() =
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(step_s));
  const long steps = std::lround(duration_s / step_s), every = std::max(1L, std::lround(kPrintEvery_s / step_s));
  for (long step = 0; step <= steps; ++step)
  {
    if (step % every == 0)
    {
      const auto pose = base->FrameDataRelativeToWorld().pose;
      const Eigen::Vector3d at = pose.translation();
      const double yaw = std::atan2(pose.linear()(1, 0), pose.linear()(0, 0));
      std::printf("%.4f %.6f %.6f %.6f %.6f\n", step * step_s, at.x(), at.y(), at.z(), yaw);
    }
    for (int k = 0; k < 2; ++k)
      joints[k]->SetVelocityCommand(0, wheels[k]);
    world->Step(output, state, input);
  }
  return 0;
}
