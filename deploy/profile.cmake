# SPDX-License-Identifier: Apache-2.0
#
# The first of two builds (STRIPWATCH_PROFILE, CMakeLists.txt): a program that counts how often
# each of its branches is taken replays the bundled captures, and its counts are laid where the
# second build looks for them, beside its objects.
#
#   cmake -DSOURCE=DIR -DBUILD=DIR -DOBJECTS=DIR -DGENERATOR=NAME [-DOPTIONS=-DA=B;...]
#         -P deploy/profile.cmake
#
# SOURCE is the source tree, BUILD where the first build is made, OBJECTS the second one's binary
# directory, GENERATOR and OPTIONS what the first build is configured with.

set(without "-DSTRIPWATCH_PROFILE=OFF builds without a profile")

function(run what)
	execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
	if(NOT status EQUAL 0)
		message(FATAL_ERROR "${what} failed (${status}); ${without}\n${output}")
	endif()
endfunction()

cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
run("Configuring the build that counts" ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR}
	-DCMAKE_BUILD_TYPE=Release -DSTRIPWATCH_TESTS=OFF -DSTRIPWATCH_COUNTING=ON ${OPTIONS})
run("Building the program that counts" ${CMAKE_COMMAND} --build ${BUILD} --target stripwatch
	--parallel ${cores})

file(GLOB_RECURSE counts ${BUILD}/*.gcda ${OBJECTS}/CMakeFiles/*.gcda)
if(counts)
	file(REMOVE ${counts}) # of an earlier program
endif()
file(GLOB captures ${SOURCE}/pcaps/*.pcap ${SOURCE}/pcaps/*.pcapng)
# As most runs are, one capture at a time; merged into one; dealt out to workers.
foreach(way --separate --separate "--separate;--workers;3" "" "--workers;3")
	run("Replaying the bundled captures" ${BUILD}/stripwatch replay --quiet ${way}
		--alerts /dev/null --sessions /dev/null ${captures})
endforeach()

file(GLOB_RECURSE counts RELATIVE ${BUILD} ${BUILD}/*.gcda)
if(NOT counts)
	message(FATAL_ERROR "the program left no counts in ${BUILD}; ${without}")
endif()
foreach(count ${counts})
	get_filename_component(folder ${count} DIRECTORY)
	file(COPY ${BUILD}/${count} DESTINATION ${OBJECTS}/${folder})
endforeach()
