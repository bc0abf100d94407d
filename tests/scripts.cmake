# Tests that are scripts: the house itself, and whole nodes over loopback.
foreach(name layering headers format)
  add_test(NAME ${name} COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh)
  set_tests_properties(${name} PROPERTIES LABELS house TIMEOUT 120)
endforeach()
foreach(name cli readings integration formats bad_input crash validators)
  add_test(NAME node_${name} COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh ${CMAKE_BINARY_DIR}/bin)
  set_tests_properties(node_${name} PROPERTIES LABELS node TIMEOUT 600)
endforeach()
