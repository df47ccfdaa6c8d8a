#include "team.h"

sotto_crew & sotto_crew_of_thread() {
    static thread_local sotto_crew crew = {};
    return crew;
}
